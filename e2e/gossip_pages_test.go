//go:build unix

package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"rollcall/history/block"
)

// historyPages are all pages, feeds, badges and JSON about the history of the targets and incidents of e.
func historyPages(t *testing.T, e *exporter) []string {
	t.Helper()
	pages := []string{"/?sort=state", "/incidents", "/incidents.atom", "/api/v1/targets", "/api/v1/incidents", "/metrics/targets"}
	ids := func(path, list string) (found []string) {
		reply, err := e.get(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		var all map[string][]struct{ ID string }
		reply.Body = strings.Replace(reply.Body, `"range":"24h",`, "", 1)
		if err := json.Unmarshal([]byte(reply.Body), &all); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, one := range all[list] {
			found = append(found, one.ID)
		}
		return found
	}
	within(t, 30*time.Second, func() error { // until each target has been probed
		reply, err := e.get(t.Context(), "/api/v1/targets?state=unknown")
		if err == nil && !strings.Contains(reply.Body, `"targets":[]`) {
			err = errors.New("some targets are not probed yet")
		}
		return err
	})
	targets, incidents := ids("/api/v1/targets", "targets"), ids("/api/v1/incidents", "incidents")
	if len(targets) == 0 || len(incidents) == 0 {
		t.Fatalf("%d targets, %d incidents", len(targets), len(incidents))
	}
	for _, id := range targets {
		results := "/api/v1/targets/" + id + "/results"
		pages = append(pages, "/target/"+id, results, results+"?step=1m", results+"?format=csv", "/badge/"+id+"/status.svg", "/badge/"+id+"/uptime.svg")
	}
	for _, id := range incidents {
		pages = append(pages, "/incident/"+id)
	}
	return pages
}

// stored is all that the databases of a storage directory hold: their bytes, and each row, also as it was before it was packed.
func stored(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	files, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the storage has %q: %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(content)
		db, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true, Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(_ []byte, rows *bbolt.Bucket) error {
				return rows.ForEach(func(key, row []byte) error {
					text.Write(key)
					text.Write(row)
					if unpacked, err := block.Unpack(row, nil); err == nil {
						text.Write(unpacked)
					}
					return nil
				})
			})
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}
