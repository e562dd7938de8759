package discovery

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	promconfig "github.com/prometheus/common/config"
)

// TestEndlessReplyFillsNoMemory: a reply is read up to the limit, on a connection that has carried more than that before.
func TestEndlessReplyFillsNoMemory(t *testing.T) {
	padding := bytes.Repeat([]byte(" "), 1<<20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < maxReply*2/3>>20 || r.URL.Path == "/endless"; i++ {
			if _, err := w.Write(padding); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	client, err := promconfig.NewClientFromConfig(promconfig.DefaultHTTPClientConfig, "test", clientOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	read := func(path string) (int64, error) {
		reply, err := client.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		return io.Copy(io.Discard, reply.Body)
	}
	for range 3 {
		if n, err := read("/"); err != nil || n < maxReply/2 {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	if n, err := read("/endless"); err == nil || !strings.Contains(err.Error(), "the reply is longer than 32 MiB") || n > maxReply {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestSourcesUseTheBoundedClient: the library takes the options that bound it.
func TestSourcesUseTheBoundedClient(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		padding := bytes.Repeat([]byte(" "), 1<<20)
		for range maxReply>>20 + 1 {
			w.Write(padding)
		}
		w.Write([]byte(`[{"targets": ["a:1"]}]`))
	}))
	defer server.Close()
	var c HTTPSDConfig
	c.SetDefaults()
	c.URL = server.URL
	m, said, _ := manage(t, (&Options{HTTPSDConfigs: []HTTPSDConfig{c}}).Sources()...)
	until(t, "the reply was refused", func() bool { return strings.Contains(said.String(), "the reply is longer than 32 MiB") })
	if s := m.Stats()["http"]; s.Failures == 0 || s.Targets != 0 {
		t.Errorf("%+v", s)
	}
}
