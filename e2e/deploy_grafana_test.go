//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"rollcall/e2e/zoo"
)

type dashboard struct {
	Panels     []panel
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ X, Y, W, H int }
	Targets []struct {
		Expr       string
		Datasource struct{ UID string }
	}
}

// TestDashboardPanelsHaveData runs the queries of each panel on a real Prometheus that scrapes rollcall with prometheus.yml.
func TestDashboardPanelsHaveData(t *testing.T) {
	t.Parallel()
	web := zoo.HTTP(t, zoo.Site())
	address := sampleRollcall(t, fmt.Sprintf("targets: [{target: %q, interval: 1s}]\n", "http://"+web+"/"))
	secure := zoo.HTTPS(t, zoo.Config(zoo.Good()), zoo.Site())
	api := prometheusWith(t, "prometheus.yml", "rollcall:9115", address, "alertmanager:9093", zoo.Refused(t),
		"https://example.com/", "http://"+web+"/", "https://shop.example.com/", "https://"+secure+"/", "db.example.com:5432", zoo.Refused(t),
		"global:\n", "global:\n  evaluation_interval: 1s\n")
	checkDashboard(t, api, "tcp_connect", "http://"+web+"/")
}

// checkDashboard runs the queries of all panels and variables; the variables must have the module and the target as values.
func checkDashboard(t *testing.T, api, module, target string) {
	t.Helper()
	var board dashboard
	if err := json.Unmarshal([]byte(readFile(t, "../deploy/grafana/rollcall.json")), &board); err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{"__rate_interval": "5s", "__range": "1m"} // Grafana's own
	for _, v := range board.Templating.List {
		variables[v.Name] = ".*" // All
	}
	for _, name := range []string{"datasource", "module", "target"} {
		if _, ok := variables[name]; !ok {
			t.Errorf("there is no variable %s", name)
		}
	}
	fill := func(expr string) string {
		return regexp.MustCompile(`\$(\w+)`).ReplaceAllStringFunc(expr, func(name string) string {
			value, ok := variables[name[1:]]
			if !ok {
				t.Errorf("%s: there is no variable %s", expr, name)
			}
			return value
		})
	}
	found := 0
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			found++
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("%s uses the data source %q, not the variable", p.Title, target.Datasource.UID)
			}
			awaitSeries(t, api, p.Title, fill(target.Expr))
		}
	}
	if found < 26 {
		t.Errorf("only %d expressions were found", found)
	}
	for name, label := range map[string]string{"module": module, "target": target} {
		for _, v := range board.Templating.List {
			if v.Name == name {
				checkVariable(t, api, fill(v.Definition), label)
			}
		}
	}
	checkLayout(t, board.Panels)
}

// awaitSeries waits until the expression has a value that is a number.
func awaitSeries(t *testing.T, api, title, expr string) {
	t.Helper()
	eventually(t, func() (bool, string) {
		var reply struct {
			Data struct{ Result []struct{ Value [2]any } }
		}
		if err := json.Unmarshal([]byte(get(t, api+"/api/v1/query?query="+url.QueryEscape(expr))), &reply); err != nil {
			t.Fatal(err)
		}
		for _, series := range reply.Data.Result {
			if series.Value[1] != "NaN" {
				return true, ""
			}
		}
		return false, fmt.Sprintf("the panel %q is empty: %s", title, expr)
	})
}

// checkVariable runs the query that Grafana runs for label_values(series, label).
func checkVariable(t *testing.T, api, definition, want string) {
	t.Helper()
	parts := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(definition)
	if parts == nil {
		t.Fatalf("the variable %q is not a label_values query", definition)
	}
	values := get(t, api+"/api/v1/label/"+parts[2]+"/values?match[]="+url.QueryEscape(parts[1]))
	if !strings.Contains(values, `"`+want+`"`) {
		t.Errorf("%s lacks %s: %s", definition, want, values)
	}
}

func checkLayout(t *testing.T, panels []panel) {
	t.Helper()
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q overlaps %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
