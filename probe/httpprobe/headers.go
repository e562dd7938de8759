package httpprobe

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/version"
	"golang.org/x/net/http/httpguts"

	"rollcall/probe"
	"rollcall/probe/httpprobe/content"
	"rollcall/probe/httpprobe/weburl"
	"rollcall/probe/option"
)

// defaultUserAgent is what requests say unless a header says otherwise. The version is stamped into the binary.
func defaultUserAgent() string {
	if version.Version == "" {
		return "rollcall"
	}
	return "rollcall/" + version.Version
}

// field is one header of a request.
type field struct{ name, value string }

// headerSet is what a module puts on its requests.
type headerSet struct {
	fixed         []field     // by canonical name
	files         []fieldFile // values that are read from files
	host          string      // empty: the URL's
	public        []field     // of fixed, what may go to any host: it says what answer is wanted, and no more
	userAgent     string      // empty: none is sent
	cookie        string      // of the module itself; a redirect's cookies come after it
	referer       string      // of the module itself
	authorization bool        // fixed has an Authorization
	upgrade       bool        // the module asks for another protocol (a WebSocket)
	accepts       content.Accepted
	secret        []string // names of headers with secret values, beside those that redact.IsCredential finds
}

type fieldFile struct {
	name string
	file *option.File
}

// publicHeaders are the only ones of a module that, with User-Agent, follow a redirect to another host.
var publicHeaders = []string{"Accept", "Accept-Encoding", "Accept-Language", "Content-Type"}

// compileHeaders makes the header set from `headers` and `http_headers`. Framing headers are ours: the peer ignores
// a configured Content-Length, Transfer-Encoding or Trailer, and so do we.
func (o *Options) compileHeaders() (headerSet, error) {
	var f option.Collector
	h := headerSet{userAgent: defaultUserAgent()}
	upgrade, seen := "", map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(o.Headers)) {
		path, value, name := "headers."+key, strings.TrimSpace(o.Headers[key]), http.CanonicalHeaderKey(key)
		if !checkField(&f, path, key, value) || seen[name] {
			continue // the first of several spellings counts, with a warning
		}
		seen[name] = true
		switch name {
		case "Host":
			if value != "" {
				host, err := weburl.CleanHost(value)
				if err != nil {
					f.Unusablef(path, "%q is not a host: its %w", value, err)
				}
				h.host = host
			}
		case "User-Agent":
			h.userAgent = value
		case "Cookie":
			h.cookie = value
		case "Referer":
			h.referer = value
		case "Content-Length", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Trailer":
		case "Connection":
			h.upgrade = httpguts.HeaderValuesContainsToken([]string{value}, "upgrade")
		case "Upgrade":
			upgrade = value
		case "Accept-Encoding":
			h.accepts = content.ParseAccept(value)
			if !h.accepts.Covers(string(o.Compression)) {
				f.Unusablef(path, "%q does not accept what compression expects, %q", value, o.Compression)
			}
			h.fixed = append(h.fixed, field{name, value})
		default:
			h.authorization = h.authorization || name == "Authorization"
			h.fixed = append(h.fixed, field{name, value})
		}
	}
	// One without the other means nothing (RFC 9110, section 7.8), and HTTP/2 forbids it.
	if h.upgrade = h.upgrade && upgrade != ""; h.upgrade {
		h.fixed = append(h.fixed, field{"Upgrade", upgrade})
	}
	if h.accepts == nil && o.Compression != "" && o.Compression != "identity" {
		h.accepts = content.ParseAccept(string(o.Compression))
		h.fixed = append(h.fixed, field{"Accept-Encoding", string(o.Compression)})
	}
	for _, field := range h.fixed {
		if slices.Contains(publicHeaders, field.name) {
			h.public = append(h.public, field)
		}
	}
	if more := o.HTTPClientConfig.HTTPHeaders; more != nil {
		h.addClientHeaders(&f, more)
	}
	return h, f.Err()
}

// addClientHeaders adds `http_headers`: values, secrets and files.
func (h *headerSet) addClientHeaders(f *option.Collector, headers *config.Headers) {
	for _, key := range slices.Sorted(maps.Keys(headers.Headers)) {
		path, name, header := "http_headers."+key, http.CanonicalHeaderKey(key), headers.Headers[key]
		if _, reserved := config.ReservedHeaders[name]; reserved {
			f.Addf(path, "%s may not be set here; it has its own option, or is set by the prober", name)
			continue
		}
		if name == "Transfer-Encoding" || name == "Trailer" {
			continue
		}
		for i, value := range header.Values {
			if checkField(f, option.Index(path+".values", i), key, value) {
				h.fixed = append(h.fixed, field{name, value})
				if slices.Contains(publicHeaders, name) {
					h.public = append(h.public, field{name, value})
				}
			}
		}
		if len(header.Secrets)+len(header.Files) > 0 {
			h.secret = append(h.secret, name)
		}
		for i, value := range header.Secrets {
			if checkField(f, option.Index(path+".secrets", i), key, string(value)) {
				h.fixed = append(h.fixed, field{name, string(value)})
			}
		}
		for i, file := range header.Files {
			at := option.Index(path+".files", i)
			watched, err := option.OpenFile(file, true)
			if err != nil {
				f.Unusablef(at, "%w", err)
				continue
			}
			content, err := watched.Read()
			if err != nil {
				f.Unusablef(at, "%w", err)
			}
			if checkField(f, at, key, string(bytes.TrimSpace(content))) {
				h.files = append(h.files, fieldFile{name, watched})
			}
		}
	}
}

// checkField refuses what would break a request apart. It does not quote the value, which may be a secret.
func checkField(f *option.Collector, path, name, value string) bool {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		f.Unusablef(path, "%q is not a header's name", name)
	case !httpguts.ValidHeaderFieldValue(value):
		f.Unusablef(path, "the value holds a control character (a line break?)")
	default:
		return true
	}
	return false
}

// hostname is a request's hostname in its one form; empty stays empty. The error is a *TargetError.
func (h *headerSet) hostname(asked string) (string, error) {
	if asked == "" {
		return "", nil
	}
	if addr, err := netip.ParseAddr(asked); err == nil && addr.Is6() {
		asked = "[" + asked + "]"
	}
	host, err := weburl.CleanHost(asked)
	if err != nil {
		return "", &probe.TargetError{Err: fmt.Errorf("the hostname is not a valid host: its %w", err)}
	}
	if h.host != "" && h.host != host {
		return "", &probe.TargetError{Err: fmt.Errorf("the module sets the Host header to %q and the request asks for %q; accepted: one of them", h.host, host)}
	}
	return host, nil
}

// appendTo adds the module's own headers to a request's.
func (h *headerSet) appendTo(fields []field) ([]field, error) {
	fields = append(fields, h.fixed...)
	for _, f := range h.files {
		value, err := readField(f.file, "header")
		if err != nil {
			return nil, err
		}
		fields = append(fields, field{f.name, value})
	}
	return fields, nil
}

// readField reads a file of this kind whose content goes into a header.
func readField(file *option.File, kind string) (string, error) {
	content, err := file.Read()
	if err != nil {
		return "", err
	}
	value := string(bytes.TrimSpace(content))
	if !httpguts.ValidHeaderFieldValue(value) {
		return "", &probe.ExporterError{Fault: probe.FaultFile, Err: fmt.Errorf("the %s file %q holds a control character", kind, file.Path)}
	}
	return value, nil
}
