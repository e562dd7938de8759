package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/config"

	"rollcall/probe/option"
	"rollcall/redact"
)

// alertmanagerConfig is how to post alerts.
type alertmanagerConfig struct {
	urls    []string // of the v2 API's alerts
	client  *http.Client
	labels  map[string]string
	timeout time.Duration // of one post
	auth    *config.BasicAuth
}

// postable is one alert as Alertmanager's v2 API takes it.
type postable struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// maxAlertsPerPost keeps a storm's requests of a size that every proxy lets pass.
const maxAlertsPerPost = 500

// postable is an incident as an alert. A firing one ends by itself when nobody renews it: should rollcall be gone for
// good, Alertmanager does not ring for ever.
func (a *alertmanagerConfig) postable(l letterhead, i *incident, now time.Time) postable {
	// Nothing is to come: the clock may have been set back, and an alert that ends before it starts is refused.
	s, starts, ends := isDown, earlier(i.Since, now), now.Add(resolveAfter)
	switch {
	case i.Unwatched != "":
		s, ends = isUnwatched, earlier(i.Until, now)
	case !i.Until.IsZero():
		s, ends = isUp, earlier(i.Until, now)
	}
	labels := make(map[string]string, len(a.labels)+len(i.Labels)+3)
	maps.Copy(labels, a.labels)
	for name, value := range i.Labels {
		labels[name] = clean(value, 1000)
	}
	labels["alertname"] = "TargetDown"
	labels["target"] = clean(i.Target, maxTarget)
	labels["module"] = clean(i.Module, 100)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", firstLine(s, i))
	l.details(&b, s, i)
	return postable{
		Labels:       labels,
		Annotations:  map[string]string{"summary": subject(s, i), "description": strings.TrimSpace(b.String())},
		StartsAt:     starts,
		EndsAt:       ends,
		GeneratorURL: l.link(i),
	}
}

// post hands alerts to one Alertmanager. Posting an alert twice is the same as once, so no outcome is in doubt.
func (a *alertmanagerConfig) post(ctx context.Context, url string, alerts []postable) result {
	refusal := result{verdict: delivered}
	for part := range slices.Chunk(alerts, maxAlertsPerPost) {
		switch r := a.postPart(ctx, url, part); r.verdict {
		case delivered:
		case refused:
			refusal = r // the others may still be welcome
		default:
			return r
		}
	}
	return refusal
}

func (a *alertmanagerConfig) postPart(ctx context.Context, url string, alerts []postable) result {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	body, err := json.Marshal(alerts)
	if err != nil {
		return result{refused, fmt.Errorf("encoding alerts: %w", err)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return result{refused, fmt.Errorf("posting to Alertmanager: %w", err)}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return result{postponed, fmt.Errorf("posting to Alertmanager: %w", err)}
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	status, said := clean(a.hush(resp.Status), 100), clean(a.hush(string(body)), maxDetail)
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return result{verdict: delivered}
	case code/100 == 4 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout && code != http.StatusUnauthorized &&
		code != http.StatusForbidden && code != http.StatusNotFound:
		return result{refused, fmt.Errorf("posting to Alertmanager: it refuses the alerts: %s: %s", status, said)}
	default: // also a wrong password or path: it judges the configuration, and the operator will mend that
		return result{postponed, errors.Join(fmt.Errorf("posting to Alertmanager: it answers %s: %s", status, said), err)}
	}
}

// hush takes the password out of what an Alertmanager, or a proxy before it, answers.
func (a *alertmanagerConfig) hush(text string) string {
	if a.auth == nil {
		return text
	}
	password := string(a.auth.Password)
	if a.auth.PasswordFile != "" {
		content, err := option.ReadFile(a.auth.PasswordFile)
		if err != nil {
			return "" // what is not known cannot be taken out
		}
		password = strings.TrimSpace(string(content))
	}
	return redact.Text(text, a.auth.Username+":"+password, password)
}
