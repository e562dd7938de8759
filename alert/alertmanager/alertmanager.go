// Package alertmanager notifies by posting alerts to Prometheus's Alertmanager (API v2), so that its routing, silences and
// deduplication work. What Alertmanager is for (inhibition, escalation, chat) stays there.
package alertmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"

	"rollcall/alert/incident"
	"rollcall/alert/mail"
	"rollcall/alert/outbox"
	"rollcall/probe"
	"rollcall/probe/option"
	"rollcall/redact"
)

// ResendInterval is how often all that fires is to be posted again, for an alert that is not renewed ends by itself.
const ResendInterval = time.Minute

const (
	resolveAfter = 4 * ResendInterval
	postTimeout  = 20 * time.Second

	// The bounds of one post, so that a storm's requests are of a size that every proxy lets pass.
	maxAlerts = 500
	maxBytes  = 512 << 10

	maxLabel  = 1000 // bytes of a label's value
	maxAnswer = 500  // bytes of what it answers that a log gets
)

// Poster posts alerts. It is an outbox.Notifier whose recipients are the URLs of the API's alerts.
type Poster struct {
	client  *http.Client
	labels  map[string]string // of every alert
	timeout time.Duration     // of one post
	auth    *config.BasicAuth
}

// alert is one as the API takes it.
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// alertOf is an incident as an alert. One that fires ends by itself when it is not renewed: should rollcall be gone for
// good, Alertmanager does not notify for ever.
func (p *Poster) alertOf(i *incident.Incident, externalURL string, now time.Time) alert {
	// Nothing is to come: the clock may have been set back, and an alert that ends before it starts is refused.
	starts, ends := incident.Earlier(i.Since, now), now.Add(resolveAfter)
	if !i.Until.IsZero() {
		ends = incident.Earlier(i.Until, now)
	}
	set := make(map[string]string, len(p.labels)+i.Labels.Len()+5)
	maps.Copy(set, p.labels)
	i.Labels.Range(func(l labels.Label) { set[l.Name] = incident.Clean(l.Value, maxLabel) })
	set["alertname"] = "TargetDown"
	set["target"] = targetLabel(i.Target)
	set["module"] = incident.Clean(i.Module, maxLabel)
	if i.Scope != "" {
		set["scope"] = string(i.Scope)
	}
	if i.Hostname != "" {
		set["hostname"] = incident.Clean(i.Hostname, maxLabel)
	}
	subject, text := mail.Text(i, externalURL)
	return alert{
		Labels:       set,
		Annotations:  map[string]string{"summary": subject, "description": text},
		StartsAt:     starts,
		EndsAt:       ends,
		GeneratorURL: mail.Link(externalURL, i),
	}
}

// Compose implements outbox.Notifier: an alert for each target of which something is owed, and for each that is down.
func (p *Poster) Compose(_ string, d *outbox.Digest) (*outbox.Message, error) {
	m := &outbox.Message{Overflow: d.Overflow}
	posted := make(map[probe.Key]bool)
	var incidents []*incident.Incident
	for _, n := range d.Notifications {
		m.Says = n.Say(m.Says)
		if outages := n.Owed(); len(outages) > 0 { // the latest stands for all of them: their labels are the same
			incidents = append(incidents, outages[len(outages)-1].Incident)
			posted[n.Key] = true
		}
	}
	for _, i := range d.Open {
		if !posted[i.Key] {
			incidents = append(incidents, i)
		}
	}
	for _, i := range incidents {
		part, err := json.Marshal(p.alertOf(i, d.ExternalURL, d.At))
		if err != nil {
			return nil, fmt.Errorf("encoding an alert: %w", err)
		}
		m.Parts = append(m.Parts, part)
	}
	return m, nil
}

// Deliver implements outbox.Notifier. Posting an alert twice is the same as once, so no outcome is in doubt.
func (p *Poster) Deliver(ctx context.Context, url string, m *outbox.Message) outbox.Outcome {
	if len(m.Parts) == 0 {
		return outbox.Outcome{Verdict: outbox.Delivered}
	}
	return p.postHalved(ctx, url, m.Parts)
}

// postHalved posts the alerts together, or where that is too large, each half of them. What is rejected does not hold
// back the others.
func (p *Poster) postHalved(ctx context.Context, url string, alerts [][]byte) outbox.Outcome {
	size := 0
	for _, a := range alerts {
		size += len(a)
	}
	o := outbox.Outcome{Verdict: outbox.TooLarge}
	if len(alerts) == 1 || len(alerts) <= maxAlerts && size <= maxBytes {
		o = p.post(ctx, url, alerts)
	}
	if o.Verdict != outbox.TooLarge {
		return o
	}
	half := len(alerts) / 2
	if half == 0 {
		return outbox.Outcome{Verdict: outbox.Rejected, Err: o.Err}
	}
	first := p.postHalved(ctx, url, alerts[:half])
	if first.Verdict != outbox.Delivered && first.Verdict != outbox.Rejected {
		return first
	}
	if second := p.postHalved(ctx, url, alerts[half:]); second.Verdict != outbox.Delivered {
		return second
	}
	return first
}

func (p *Poster) post(ctx context.Context, url string, alerts [][]byte) outbox.Outcome {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	body := bytes.Join([][]byte{[]byte("["), bytes.Join(alerts, []byte(",")), []byte("]")}, nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return outbox.Outcome{Verdict: outbox.Rejected, Err: fmt.Errorf("posting to Alertmanager: %w", err)}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return outbox.Outcome{Err: fmt.Errorf("posting to Alertmanager: %s", p.redact(err.Error()))} // it may quote an answer that is none
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	says := fmt.Errorf("posting to Alertmanager: it answers %s: %s",
		incident.Clean(p.redact(resp.Status), 100), incident.Clean(p.redact(string(body)), maxAnswer))
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return outbox.Outcome{Verdict: outbox.Delivered}
	case code == http.StatusRequestEntityTooLarge:
		return outbox.Outcome{Verdict: outbox.TooLarge, Err: says}
	case code/100 == 4 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout && code != http.StatusUnauthorized &&
		code != http.StatusForbidden && code != http.StatusNotFound:
		return outbox.Outcome{Verdict: outbox.Rejected, Err: says}
	default: // also a wrong password or path: it judges the configuration, and the operator will mend that
		if err != nil {
			says = fmt.Errorf("%w (%s)", says, p.redact(err.Error()))
		}
		return outbox.Outcome{Err: says}
	}
}

// redact takes the password out of what an Alertmanager, or a proxy before it, answers. When the password is not known, nor
// is what to take out.
func (p *Poster) redact(text string) string {
	if p.auth == nil {
		return text
	}
	password := string(p.auth.Password)
	if p.auth.PasswordFile != "" {
		content, err := option.ReadFile(p.auth.PasswordFile)
		if err != nil {
			return "(not shown, for the password is unknown: " + err.Error() + ")"
		}
		password = strings.TrimSpace(string(content))
	}
	return redact.Text(text, p.auth.Username+":"+password, password)
}

// Test implements outbox.Notifier.
func (p *Poster) Test(ctx context.Context, w io.Writer, url string) error {
	fmt.Fprintf(w, "alert RollcallTest to %s\n", url)
	now := time.Now()
	labels := map[string]string{"alertname": "RollcallTest"}
	maps.Copy(labels, p.labels)
	part, err := json.Marshal(alert{
		Labels: labels, StartsAt: now, EndsAt: now.Add(ResendInterval),
		Annotations: map[string]string{"summary": now.Local().Format(time.ANSIC) + ": rollcall can post alerts", "description": "This is a test from rollcall."},
	})
	if err == nil {
		err = p.Deliver(ctx, url, &outbox.Message{Parts: [][]byte{part}}).Err
	}
	if err != nil {
		fmt.Fprintf(w, "   failed: %v\n", err)
		return fmt.Errorf("alert to %s: %w", url, err)
	}
	fmt.Fprintf(w, "   accepted\n")
	return nil
}
