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
	autoscaler "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
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
		into := decode(t, dir, metav1.TypeMeta{APIVersion: r.GetApiVersion(), Kind: r.GetKind()}, text)
		if r.GetNamespace() != "monitoring" {
			t.Errorf("%s: %s %s is in the namespace %q", dir, r.GetKind(), r.GetName(), r.GetNamespace())
		}
		name := r.GetName()
		if r.GetKind() == "ConfigMap" {
			name = "" // its name ends with a hash of its content
		}
		all[strings.TrimSpace(r.GetKind()+" "+name)] = into
	}
	return all
}

// decode reads an object strictly as its type: an unknown field is an error.
func decode(t *testing.T, where string, kind metav1.TypeMeta, text []byte) any {
	t.Helper()
	create, ok := types[kind]
	if !ok {
		t.Fatalf("%s: no type is known for %v", where, kind)
	}
	into := create()
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Errorf("%s: %s: %v\n%s", where, kind.Kind, err, text)
	}
	return into
}

// types are those of all objects in deploy/. It is never changed.
var types = map[metav1.TypeMeta]func() any{
	{APIVersion: "apps/v1", Kind: "Deployment"}:                          func() any { return new(apps.Deployment) },
	{APIVersion: "apps/v1", Kind: "StatefulSet"}:                         func() any { return new(apps.StatefulSet) },
	{APIVersion: "apps/v1", Kind: "DaemonSet"}:                           func() any { return new(apps.DaemonSet) },
	{APIVersion: "v1", Kind: "Service"}:                                  func() any { return new(core.Service) },
	{APIVersion: "v1", Kind: "ServiceAccount"}:                           func() any { return new(core.ServiceAccount) },
	{APIVersion: "v1", Kind: "ConfigMap"}:                                func() any { return new(core.ConfigMap) },
	{APIVersion: "v1", Kind: "Secret"}:                                   func() any { return new(core.Secret) },
	{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}:               func() any { return new(policy.PodDisruptionBudget) },
	{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}:          func() any { return new(networking.NetworkPolicy) },
	{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"}:                func() any { return new(networking.Ingress) },
	{APIVersion: "gateway.networking.k8s.io/v1beta1", Kind: "HTTPRoute"}: func() any { return new(gateway.HTTPRoute) }, // the same type
	{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute"}:      func() any { return new(gateway.HTTPRoute) },
	{APIVersion: "autoscaling.k8s.io/v1", Kind: "VerticalPodAutoscaler"}: func() any { return new(autoscaler.VerticalPodAutoscaler) },
	{APIVersion: "monitoring.coreos.com/v1", Kind: "ServiceMonitor"}:     func() any { return new(operator.ServiceMonitor) },
	{APIVersion: "monitoring.coreos.com/v1", Kind: "Probe"}:              func() any { return new(operator.Probe) },
	{APIVersion: "monitoring.coreos.com/v1", Kind: "PrometheusRule"}:     func() any { return new(operator.PrometheusRule) },
	{APIVersion: "monitoring.googleapis.com/v1", Kind: "PodMonitoring"}:  func() any { return new(podMonitoring) },
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
	checkConfig(t, c.Args, "/etc/rollcall/rollcall.yml", config.Data["rollcall.yml"])
}

// checkConfig runs rollcall --config.check with the container's flags and the configuration that is at path there.
func checkConfig(t *testing.T, args []string, path, text string) {
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
	inContainer := "--config.file=" + path
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

func TestShardsVariantCoversEveryTarget(t *testing.T) {
	all := resolve(t, "kubernetes/shards")
	s := get[*apps.StatefulSet](t, all, "StatefulSet rollcall")
	checkPod(t, all, s.Spec.Selector, s.Spec.Template)
	checkShards(t, s, get[*core.ConfigMap](t, all, "ConfigMap").Data["rollcall.yml"], 2)
	for _, v := range s.Spec.Template.Spec.Volumes {
		if v.Name == "mail" {
			t.Error("the pods wait for a mail password that they do not need")
		}
	}
}

// checkShards lists the targets of each pod of a StatefulSet, in the environment that it would have, and wants each target in
// as many pods as there are replicas of it.
func checkShards(t *testing.T, s *apps.StatefulSet, config string, replicas int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rollcall.yml")
	// Many more targets, so that no part is empty.
	many := "targets:\n"
	for i := range 100 {
		many += fmt.Sprintf("- tcp://db%d.example.com:5432\n", i)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(config, "targets:\n", many, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	probed := map[string]int{}
	for ordinal := range *s.Spec.Replicas {
		program := exec.CommandContext(t.Context(), "go", "run", ".", "targets", "--config.file="+file)
		program.Dir = ".."
		program.Env = os.Environ()
		for _, v := range s.Spec.Template.Spec.Containers[0].Env {
			if v.ValueFrom == nil {
				value := strings.ReplaceAll(v.Value, "$(POD_NAME)", fmt.Sprintf("%s-%d", s.Name, ordinal))
				program.Env = append(program.Env, v.Name+"="+value)
			} else if v.Name != "POD_NAME" || v.ValueFrom.FieldRef.FieldPath != "metadata.name" {
				t.Errorf("the variable %s is from %v", v.Name, v.ValueFrom)
			}
		}
		out, err := program.Output()
		if err != nil {
			t.Fatalf("rollcall targets: %v\n%s", err, out)
		}
		for target := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(target, "tcp://db") {
				probed[target]++
			}
		}
	}
	if len(probed) != 100 {
		t.Errorf("%d of 100 targets are probed", len(probed))
	}
	for target, pods := range probed {
		if pods != replicas {
			t.Errorf("%s is probed by %d pods, want %d", target, pods, replicas)
		}
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
