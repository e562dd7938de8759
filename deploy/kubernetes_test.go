package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	operator "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// objects are the results of a kustomization, each decoded strictly as its own type: an unknown field is an error.
type objects map[string]any // by kind and name

func resolve(t *testing.T, dir string) objects {
	t.Helper()
	resolved, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("kustomize build %s: %v", dir, err)
	}
	all := objects{}
	for _, r := range resolved.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		id := r.GetApiVersion() + " " + r.GetKind()
		var into any
		switch id {
		case "apps/v1 Deployment":
			into = new(apps.Deployment)
		case "apps/v1 StatefulSet":
			into = new(apps.StatefulSet)
		case "v1 Service":
			into = new(core.Service)
		case "v1 ConfigMap":
			into = new(core.ConfigMap)
		case "policy/v1 PodDisruptionBudget":
			into = new(policy.PodDisruptionBudget)
		case "networking.k8s.io/v1 NetworkPolicy":
			into = new(networking.NetworkPolicy)
		case "monitoring.coreos.com/v1 ServiceMonitor":
			into = new(operator.ServiceMonitor)
		case "monitoring.coreos.com/v1 Probe":
			into = new(operator.Probe)
		default:
			t.Fatalf("%s: no type is known for %s", dir, id)
		}
		if err := yaml.UnmarshalStrict(text, into); err != nil {
			t.Errorf("%s: %s %s: %v", dir, id, r.GetName(), err)
		}
		if r.GetNamespace() != "monitoring" {
			t.Errorf("%s: %s %s is in the namespace %q", dir, id, r.GetName(), r.GetNamespace())
		}
		name := r.GetName()
		if r.GetKind() == "ConfigMap" {
			name = "" // its name ends with a hash of its content
		}
		all[strings.TrimSpace(r.GetKind()+" "+name)] = into
	}
	return all
}

func get[T any](t *testing.T, all objects, name string) T {
	t.Helper()
	object, ok := all[name].(T)
	if !ok {
		t.Fatalf("there is no %s among %d objects", name, len(all))
	}
	return object
}

func TestDeployment(t *testing.T) {
	all := resolve(t, "kubernetes/base")
	d := get[*apps.Deployment](t, all, "Deployment rollcall")
	checkPod(t, all, d.Spec.Selector, d.Spec.Template)
	if *d.Spec.Replicas < 2 {
		t.Errorf("%d replicas: one lost node takes all", *d.Spec.Replicas)
	}
}

func TestPingVariantAllowsPings(t *testing.T) {
	all := resolve(t, "kubernetes/ping")
	d := get[*apps.Deployment](t, all, "Deployment rollcall")
	checkPod(t, all, d.Spec.Selector, d.Spec.Template)
	security := d.Spec.Template.Spec.SecurityContext
	group := fmt.Sprintf("%d %[1]d", *security.RunAsGroup)
	if want := []core.Sysctl{{Name: "net.ipv4.ping_group_range", Value: group}}; !slices.Equal(security.Sysctls, want) {
		t.Errorf("sysctls %v, want %v", security.Sysctls, want)
	}
}

func TestStatefulVariantKeepsTheOutbox(t *testing.T) {
	all := resolve(t, "kubernetes/stateful")
	if all["Deployment rollcall"] != nil {
		t.Error("the Deployment is still there: mail would be sent twice")
	}
	s := get[*apps.StatefulSet](t, all, "StatefulSet rollcall")
	checkPod(t, all, s.Spec.Selector, s.Spec.Template)
	if *s.Spec.Replicas != 1 {
		t.Errorf("%d replicas: each would send its own mail", *s.Spec.Replicas)
	}
	if claims := s.Spec.VolumeClaimTemplates; len(claims) != 1 || claims[0].Name != "data" {
		t.Errorf("volume claims %v, want one named data", claims)
	}
	if get[*core.Service](t, all, "Service "+s.Spec.ServiceName) == nil {
		t.Errorf("its service %q is not there", s.Spec.ServiceName)
	}
}

// checkPod checks what the API server does not: that selectors, ports, volumes and the configuration fit together.
func checkPod(t *testing.T, all objects, selector *metav1.LabelSelector, pod core.PodTemplateSpec) {
	t.Helper()
	own := labels.Set(pod.Labels)
	service := get[*core.Service](t, all, "Service rollcall")
	for what, selected := range map[string]*metav1.LabelSelector{
		"it itself": selector,
		"service":   {MatchLabels: service.Spec.Selector},
		"budget":    get[*policy.PodDisruptionBudget](t, all, "PodDisruptionBudget rollcall").Spec.Selector,
		"network":   &get[*networking.NetworkPolicy](t, all, "NetworkPolicy rollcall").Spec.PodSelector,
	} {
		s, err := metav1.LabelSelectorAsSelector(selected)
		if err != nil || s.Empty() || !s.Matches(own) {
			t.Errorf("%s: the selector %v does not select the pods %v (%v)", what, s, own, err)
		}
	}

	c := pod.Spec.Containers[0]
	ports := map[string]bool{}
	for _, port := range c.Ports {
		ports[port.Name] = port.ContainerPort == 9115
	}
	for _, port := range []string{
		service.Spec.Ports[0].TargetPort.String(), c.ReadinessProbe.HTTPGet.Port.String(),
		c.LivenessProbe.HTTPGet.Port.String(), c.StartupProbe.HTTPGet.Port.String(),
	} {
		if !ports[port] {
			t.Errorf("the port %q is not rollcall's", port)
		}
	}
	for probe, path := range map[*core.Probe]string{c.ReadinessProbe: "/-/ready", c.LivenessProbe: "/-/healthy", c.StartupProbe: "/-/healthy"} {
		if probe.HTTPGet.Path != path {
			t.Errorf("a probe requests %s, want %s", probe.HTTPGet.Path, path)
		}
	}
	s := c.SecurityContext
	if !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || !*pod.Spec.SecurityContext.RunAsNonRoot {
		t.Errorf("the container may do more than it needs: %+v", s)
	}

	config := get[*core.ConfigMap](t, all, "ConfigMap")
	var mounted bool
	volumes := map[string]bool{"data": true}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		mounted = mounted || v.ConfigMap != nil && v.ConfigMap.Name == config.Name
	}
	if !mounted {
		t.Errorf("the configuration %s is not mounted", config.Name)
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("there is no volume %q", m.Name)
		}
	}
	checkConfig(t, c.Args, config.Data["rollcall.yml"])
}

// checkConfig runs rollcall --config.check with the container's flags.
func checkConfig(t *testing.T, args []string, text string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text = strings.ReplaceAll(text, "/etc/rollcall-mail/password", write("password", "secret"))
	const inContainer = "--config.file=/etc/rollcall/rollcall.yml"
	if !slices.Contains(args, inContainer) {
		t.Errorf("the flags %q do not name the mounted configuration", args)
	}
	flags := []string{"run", ".", "--config.check"}
	for _, arg := range args {
		flags = append(flags, strings.Replace(arg, inContainer, "--config.file="+write("rollcall.yml", text), 1))
	}
	program := exec.CommandContext(t.Context(), "go", flags...)
	program.Dir = ".."
	if out, err := program.CombinedOutput(); err != nil {
		t.Errorf("rollcall %q: %v\n%s", args, err, out)
	}
}

func TestOperatorProbesThroughTheService(t *testing.T) {
	all := resolve(t, "kubernetes/base")
	service := get[*core.Service](t, all, "Service rollcall")
	modules := get[*core.ConfigMap](t, all, "ConfigMap").Data["rollcall.yml"]

	operated := resolve(t, "kubernetes/prometheus-operator")
	monitor := get[*operator.ServiceMonitor](t, operated, "ServiceMonitor rollcall")
	selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
	if err != nil || !selector.Matches(labels.Set(service.Labels)) || monitor.Spec.Endpoints[0].Port != service.Spec.Ports[0].Name ||
		monitor.Spec.Endpoints[1].Port != service.Spec.Ports[0].Name {
		t.Errorf("the ServiceMonitor %v does not select the service %v (%v)", selector, service.Labels, err)
	}
	if job := service.Labels[monitor.Spec.JobLabel]; job != "rollcall" {
		t.Errorf("the job is named %q; the alerting rules use rollcall", job)
	}
	for _, name := range []string{"websites", "ingresses"} {
		p := get[*operator.Probe](t, operated, "Probe "+name)
		if want := fmt.Sprintf("%s.%s.svc:%d", service.Name, service.Namespace, service.Spec.Ports[0].Port); p.Spec.ProberSpec.URL != want {
			t.Errorf("%s: requests %s, want %s", name, p.Spec.ProberSpec.URL, want)
		}
		if !strings.Contains(modules, "\n  "+p.Spec.Module+":\n") {
			t.Errorf("%s: the configuration has no module %s", name, p.Spec.Module)
		}
	}
}

// TestUnknownFieldIsFound makes sure that the other tests can fail.
func TestUnknownFieldIsFound(t *testing.T) {
	text, err := os.ReadFile("kubernetes/base/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(text), "livenessProbe:", "livelinessProbe:", 1)
	if err := yaml.UnmarshalStrict([]byte(broken), new(apps.Deployment)); err == nil {
		t.Error("a field that the API does not have is accepted")
	}
}
