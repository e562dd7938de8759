package deploy

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	operator "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// valuesFile reads one of testdata/values; "" is no values.
func valuesFile(t *testing.T, name string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if name == "" {
		return values
	}
	text, err := os.ReadFile(filepath.Join("testdata/values", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return values
}

// render is `helm template rollcall deploy/helm --namespace=monitoring`: the text of each template.
func render(values map[string]any) (map[string]string, error) {
	chart, err := loader.LoadDir("helm")
	if err != nil {
		return nil, err
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.APIVersions = append(capabilities.APIVersions, "autoscaling.k8s.io/v1")
	all, err := chartutil.ToRenderValues(chart, values, common.ReleaseOptions{Name: "rollcall", Namespace: "monitoring", IsInstall: true}, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

// install renders the chart and reads every object strictly as its type.
func install(t *testing.T, values map[string]any) objects {
	t.Helper()
	rendered, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	all := objects{}
	for name, text := range rendered {
		if strings.HasSuffix(name, ".txt") {
			continue
		}
		for part := range strings.SplitSeq(text, "\n---") {
			if strings.TrimSpace(part) == "" {
				continue
			}
			var kind metav1.TypeMeta
			var named struct{ Metadata metav1.ObjectMeta }
			if err := yaml.Unmarshal([]byte(part), &kind); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, part)
			}
			if err := yaml.Unmarshal([]byte(part), &named); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			id := kind.Kind + " " + named.Metadata.Name
			if all[id] != nil {
				t.Errorf("%s: there are two of %s", name, id)
			}
			all[id] = decode(t, name, kind, []byte(part))
		}
	}
	return all
}

// TestChartLints is `helm lint --strict` with each file of values.
func TestChartLints(t *testing.T) {
	for _, file := range valuesFiles(t) {
		for _, m := range lint.RunAll("helm", valuesFile(t, file), "monitoring").Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", file, m)
			}
		}
	}
}

func valuesFiles(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("testdata/values")
	if err != nil {
		t.Fatal(err)
	}
	all := []string{""}
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

func TestChartRenders(t *testing.T) {
	for _, file := range valuesFiles(t) {
		t.Run(file, func(t *testing.T) {
			values := valuesFile(t, file)
			all := install(t, values)
			namespace, _ := values["namespaceOverride"].(string)
			for id, object := range all {
				if got := object.(metav1.Object).GetNamespace(); got != cmp.Or(namespace, "monitoring") && !strings.HasSuffix(id, " extra") && !strings.HasPrefix(id, "PrometheusRule ") {
					t.Errorf("%s is in the namespace %q", id, got)
				}
			}
			checkChartPod(t, all)
		})
	}
}

// workload is the selector, pod and claims of the chart's Deployment, DaemonSet or StatefulSet.
func workload(t *testing.T, all objects) (*metav1.LabelSelector, core.PodTemplateSpec, []core.PersistentVolumeClaim) {
	t.Helper()
	for _, object := range all {
		switch w := object.(type) {
		case *apps.Deployment:
			return w.Spec.Selector, w.Spec.Template, nil
		case *apps.DaemonSet:
			return w.Spec.Selector, w.Spec.Template, nil
		case *apps.StatefulSet:
			return w.Spec.Selector, w.Spec.Template, w.Spec.VolumeClaimTemplates
		}
	}
	t.Fatal("there is no workload")
	return nil, core.PodTemplateSpec{}, nil
}

// checkChartPod checks that selectors, ports, volumes and configuration fit together.
func checkChartPod(t *testing.T, all objects) {
	t.Helper()
	selector, pod, claims := workload(t, all)
	selects(t, "the workload", selector, pod.Labels)
	configs := map[string]string{}
	ports := map[string]bool{}
	c := pod.Spec.Containers[0]
	for _, port := range c.Ports {
		ports[port.Name] = true
	}
	for id, object := range all {
		switch o := object.(type) {
		case *core.Service:
			selects(t, id, &metav1.LabelSelector{MatchLabels: o.Spec.Selector}, pod.Labels)
			if !ports[o.Spec.Ports[0].TargetPort.String()] {
				t.Errorf("%s: the pods have no port %s", id, &o.Spec.Ports[0].TargetPort)
			}
		case *policy.PodDisruptionBudget:
			selects(t, id, o.Spec.Selector, pod.Labels)
		case *networking.NetworkPolicy:
			selects(t, id, &o.Spec.PodSelector, pod.Labels)
			for _, port := range o.Spec.Ingress[0].Ports {
				if !ports[port.Port.String()] {
					t.Errorf("%s: the pods have no port %s", id, port.Port)
				}
			}
		case *core.ConfigMap:
			configs[o.Name] = o.Data["blackbox.yaml"]
		case *core.Secret:
			configs[o.Name] = o.StringData["blackbox.yaml"]
		case *core.ServiceAccount:
			if pod.Spec.ServiceAccountName != o.Name {
				t.Errorf("the pods do not use the account %s", o.Name)
			}
		}
	}
	volumes := map[string]bool{}
	for _, claim := range claims {
		volumes[claim.Name] = true
	}
	config := ""
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		if v.Name == "config" && v.ConfigMap != nil {
			config = configs[v.ConfigMap.Name]
		} else if v.Name == "config" && v.Secret != nil {
			config = configs[v.Secret.SecretName]
		}
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("there is no volume %q", m.Name)
		}
	}
	if config != "" { // else it is the user's own Secret
		checkConfig(t, c.Args, "/config/blackbox.yaml", config)
	}
}

// selects fails t when the selector does not select an object with the labels.
func selects(t *testing.T, what string, selector *metav1.LabelSelector, own map[string]string) {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil || s.Empty() || !s.Matches(labels.Set(own)) {
		t.Errorf("%s: the selector %v does not select %v (%v)", what, s, own, err)
	}
}

// TestEveryValueOfTheChartHasAnEffect takes the values of each file away, one by one, and wants another result: the chart
// ignores nothing that people have written.
func TestEveryValueOfTheChartHasAnEffect(t *testing.T) {
	for _, file := range valuesFiles(t) {
		whole, err := render(valuesFile(t, file))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, path := range leaves(valuesFile(t, file), nil) {
			values := valuesFile(t, file)
			without(values, path)
			if rendered, err := render(values); err == nil && maps.Equal(rendered, whole) {
				t.Errorf("%s: %s has no effect", file, strings.Join(path, "."))
			}
		}
	}
}

// leaves returns the paths of all values that are no maps.
func leaves(values map[string]any, above []string) (all [][]string) {
	for key, value := range values {
		path := append(slices.Clone(above), key)
		if section, ok := value.(map[string]any); ok && len(section) > 0 {
			all = append(all, leaves(section, path)...)
		} else {
			all = append(all, path)
		}
	}
	return all
}

func without(values map[string]any, path []string) {
	for _, key := range path[:len(path)-1] {
		values = values[key].(map[string]any)
	}
	delete(values, path[len(path)-1])
}

// TestChartShardsCoverEveryTarget lists the targets of each pod of the StatefulSet, in the environment that it would have.
func TestChartShardsCoverEveryTarget(t *testing.T) {
	all := install(t, valuesFile(t, "shards.yaml"))
	s := get[*apps.StatefulSet](t, all, "StatefulSet rollcall")
	checkShards(t, s, get[*core.ConfigMap](t, all, "ConfigMap rollcall").Data["blackbox.yaml"], 2)
	if get[*core.Service](t, all, "Service "+s.Spec.ServiceName) == nil {
		t.Errorf("its service %q is not there", s.Spec.ServiceName)
	}
	claim := s.Spec.VolumeClaimTemplates[0]
	if claim.Spec.Resources.Requests.Storage().String() != "5Gi" || *claim.Spec.StorageClassName != "fast" {
		t.Errorf("the claim is %+v", claim.Spec)
	}
}

// TestChartTakesThePlaceOfTheCommunitys: with its name, selectors and names are the same, which Kubernetes demands of an
// upgrade.
func TestChartTakesThePlaceOfTheCommunitys(t *testing.T) {
	const name = "prometheus-blackbox-exporter"
	all := install(t, map[string]any{"nameOverride": name})
	d := get[*apps.Deployment](t, all, "Deployment rollcall-"+name)
	if want := map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/instance": "rollcall"}; !maps.Equal(d.Spec.Selector.MatchLabels, want) {
		t.Errorf("the selector is %v, want %v", d.Spec.Selector.MatchLabels, want)
	}
	if get[*core.Service](t, all, "Service rollcall-"+name).Spec.Ports[0].Port != 9115 {
		t.Error("the service has another port")
	}
}

func TestChartRefusesAnotherKind(t *testing.T) {
	_, err := render(map[string]any{"kind": "Pod"})
	if want := fmt.Sprintf("kind: %q; accepted: Deployment, DaemonSet, StatefulSet", "Pod"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

func TestChartMonitorsTargets(t *testing.T) {
	all := install(t, valuesFile(t, "everything.yaml"))
	monitor := get[*operator.ServiceMonitor](t, all, "ServiceMonitor rollcall-prometheus-blackbox-exporter-long")
	e := monitor.Spec.Endpoints[0]
	for name, want := range map[string]string{"target": "https://www.test/", "module": "http_2xx", "hostname": "www.test"} {
		if got := e.Params[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("the parameter %s is %q, want %s", name, got, want)
		}
	}
	if e.Interval != "50s" || e.ScrapeTimeout != "25s" || e.Path != "/p/probe" || !*e.HonorTimestamps || len(e.RelabelConfigs) != 2 {
		t.Errorf("the endpoint is %+v", e)
	}
}

// podMonitoring has the fields of Google's API that the chart uses; its Go module is not to be had.
type podMonitoring struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port             string              `json:"port"`
			Scheme           string              `json:"scheme"`
			Path             string              `json:"path"`
			Interval         string              `json:"interval"`
			Timeout          string              `json:"timeout"`
			Params           map[string][]string `json:"params"`
			TLS              map[string]any      `json:"tls"`
			MetricRelabeling []struct {
				Action      string `json:"action"`
				TargetLabel string `json:"targetLabel"`
				Replacement string `json:"replacement"`
			} `json:"metricRelabeling"`
		} `json:"endpoints"`
	} `json:"spec"`
}
