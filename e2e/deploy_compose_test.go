//go:build unix

package e2e

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"rollcall/e2e/zoo"
)

type composeFile struct {
	Services map[string]composeService
	Volumes  map[string]any
}

type composeService struct {
	Image       string
	Build       struct{ Context string }
	Command     []string
	Environment map[string]string
	Ports       []string
	Volumes     []string
}

func compose(t *testing.T) (file composeFile) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, "../deploy/compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// mounts returns the files that a service mounts: the path here by the path in the container.
func (s composeService) mounts(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, volume := range s.Volumes {
		from, rest, _ := strings.Cut(volume, ":")
		to, mode, _ := strings.Cut(rest, ":")
		if !strings.HasPrefix(from, "./") {
			continue
		}
		path, err := filepath.Abs(filepath.Join("../deploy", from))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil || mode != "ro" {
			t.Errorf("%s: %v, want an existing file, mounted read-only", volume, err)
		}
		all[to] = path
	}
	return all
}

// container makes the mounted files in a new directory, at their paths in the container, with the texts in pairs replaced. It
// returns the command with these paths.
func (s composeService) container(t *testing.T, pairs ...string) (dir string, command []string) {
	t.Helper()
	dir = t.TempDir()
	texts := strings.NewReplacer(pairs...)
	var places []string
	for to, from := range s.mounts(t) {
		places = append(places, to, dir+to)
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			if err := os.CopyFS(dir+to, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(dir+to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+to, []byte(texts.Replace(readFile(t, from))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, arg := range s.Command {
		command = append(command, strings.NewReplacer(places...).Replace(arg))
	}
	return dir, command
}

// TestComposeFile: every mounted file exists, each program accepts its flags and files, images have a version and a digest,
// and every host that a file names is a service.
func TestComposeFile(t *testing.T) {
	file := compose(t)
	programs := map[string]func(dir string, args []string){
		"rollcall": func(_ string, args []string) { run(t, rollcall, append(args, "--config.check")...) },
		"prometheus": func(_ string, args []string) {
			knowsFlags(t, find(t, "prometheus", "prometheus"), args)
			run(t, find(t, "promtool", "prometheus"), "check", "config", flagIn(args, "--config.file"))
		},
		"alertmanager": func(_ string, args []string) {
			knowsFlags(t, find(t, "prometheus-alertmanager", "prometheus-alertmanager"), args)
			run(t, find(t, "amtool", "prometheus-alertmanager"), "check-config", flagIn(args, "--config.file"))
		},
		"grafana": func(dir string, _ []string) { checkProvisioning(t, dir, file) },
		"mailpit": func(string, []string) {},
	}
	if len(file.Services) != len(programs) {
		t.Errorf("%d services, want %d", len(file.Services), len(programs))
	}
	pinned := regexp.MustCompile(`^[a-z]+/[a-z]+:v?\d+(\.\d+)+@sha256:[0-9a-f]{64}$`)
	for name, service := range file.Services {
		if service.Build.Context == "" && !pinned.MatchString(service.Image) {
			t.Errorf("%s: the image %s has no version and digest", name, service.Image)
		}
		for _, volume := range service.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if _, ok := file.Volumes[from]; !ok && !strings.HasPrefix(from, "./") {
				t.Errorf("%s: the volume %q is not declared", name, from)
			}
		}
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: the port %s is not bound to loopback", name, port)
			}
		}
		try := programs[name]
		if try == nil {
			t.Fatalf("the test has no case for %s", name)
		}
		try(service.container(t))
	}
	if _, err := os.Stat(filepath.Join("../deploy", file.Services["rollcall"].Build.Context, "Dockerfile")); err != nil {
		t.Errorf("the build context of rollcall: %v", err)
	}
	checkHosts(t, file)
}

// checkHosts fails t for a host in a file of deploy/compose that is no service.
func checkHosts(t *testing.T, file composeFile) {
	t.Helper()
	found := 0
	for _, path := range []string{"rollcall.yml", "prometheus.yml", "alertmanager.yml", "grafana/datasources/prometheus.yml"} {
		text := regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(readFile(t, "../deploy/compose/"+path), "")
		for _, host := range regexp.MustCompile(`([\w.-]+):\d{2,5}\b`).FindAllStringSubmatch(text, -1) {
			found++
			if _, ok := file.Services[host[1]]; !ok {
				t.Errorf("%s: %s is no service", path, host[0])
			}
		}
		if strings.Contains(text, "example.") {
			t.Errorf("%s names a host outside", path)
		}
	}
	if found < 10 {
		t.Errorf("found only %d hosts", found)
	}
}

// checkProvisioning checks Grafana's files, whose program is not in Debian: the data source is Prometheus, and the dashboards
// are where they are mounted.
func checkProvisioning(t *testing.T, dir string, file composeFile) {
	t.Helper()
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, Type, URL, Access string
			IsDefault               bool           `yaml:"isDefault"`
			JSONData                map[string]any `yaml:"jsonData"`
		}
	}
	var dashboards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type string
			Options    struct{ Path string }
		}
	}
	const provisioning = "/etc/grafana/provisioning/"
	for path, into := range map[string]any{"datasources/prometheus.yml": &sources, "dashboards/rollcall.yml": &dashboards} {
		decoder := yaml.NewDecoder(strings.NewReader(readFile(t, dir+provisioning+path)))
		decoder.KnownFields(true)
		if err := decoder.Decode(into); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if s := sources.Datasources; len(s) != 1 || s[0].Type != "prometheus" || !s[0].IsDefault {
		t.Errorf("the data sources are %+v", s)
	} else if at, err := url.Parse(s[0].URL); err != nil || at.Port() != "9090" || file.Services[at.Hostname()].Image == "" {
		t.Errorf("the data source is at %s (%v)", s[0].URL, err)
	}
	home := file.Services["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	if p := dashboards.Providers; len(p) != 1 || p[0].Options.Path != filepath.Dir(home) {
		t.Errorf("the dashboards are in %+v, and the first one is %s", p, home)
	}
	if _, err := os.Stat(dir + home); err != nil {
		t.Errorf("the first dashboard: %v", err)
	}
}

// TestComposeShowsATargetThatIsDown runs the services of the file that are in Debian, with its configuration: the mail catcher
// gets one mail about the target that is down, and the status page names it.
func TestComposeShowsATargetThatIsDown(t *testing.T) {
	t.Parallel()
	file, mailpit := compose(t), newPostbox(t, nil)
	site := func() string { return zoo.HTTP(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) }
	down := zoo.Refused(t)

	_, args := file.Services["alertmanager"].container(t, "mailpit:1025", mailpit.address, "group_wait: 5s", "group_wait: 1s")
	am := start(t, find(t, "prometheus-alertmanager", "prometheus-alertmanager"), append(args[:1:1], "--storage.path="+t.TempDir(),
		"--web.listen-address=127.0.0.1:0", "--cluster.listen-address=")...)
	alertmanager := am.await(t, `msg="?Listening on"? address=(\S+)`)[1]

	_, args = file.Services["rollcall"].container(t, "prometheus:9090", site(), "alertmanager:9093", site(), "grafana:3000", site(), "mailpit:8025", site(),
		"mailpit:1025", mailpit.address, "mailpit:5432", down, "target: mailpit,", "target: 127.0.0.1,", "5s", "1s")
	base, _ := startRollcall(t, append(slices.Clone(args[:1]), "--storage.path="+t.TempDir())...)

	_, args = file.Services["prometheus"].container(t, "rollcall:9115", strings.TrimPrefix(base, "http://"), "alertmanager:9093", alertmanager,
		": 5s", ": 1s", "for: 30s", "for: 1s")
	prometheus := start(t, find(t, "prometheus", "prometheus"), args[0], "--storage.tsdb.path="+t.TempDir(), "--web.listen-address=127.0.0.1:0")
	api := "http://" + prometheus.await(t, `msg="Listening on" address=(\S+)`)[1]
	prometheus.await(t, "Server is ready to receive web requests")

	l := awaitLetters(t, mailpit, 1)[0]
	wantDown(t, l, "TCP", down)
	awaitAnswer(t, api, `probe_success == 0`, map[string]string{down: "0"})
	awaitAnswer(t, api, `probe_success{module="smtp_banner"}`, map[string]string{mailpit.address: "1"})
	if page := get(t, base+"/"); !strings.Contains(page, "Shop&#39;s database") {
		t.Errorf("the status page does not name the target:\n%s", page)
	}
	if n := len(mailpit.kept()); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}
}

func flagIn(args []string, flag string) string {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, flag+"="); ok {
			return value
		}
	}
	return ""
}

// knowsFlags fails for a flag that the program's --help does not list.
func knowsFlags(t *testing.T, program string, args []string) {
	t.Helper()
	help := run(t, program, "--help")
	for _, arg := range args {
		if flag, _, _ := strings.Cut(arg, "="); !strings.Contains(help, flag+"=") {
			t.Errorf("%s has no flag %s", filepath.Base(program), flag)
		}
	}
}
