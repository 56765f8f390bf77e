package caddymodule

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metricInfo is what a collector says of a metric.
type metricInfo struct {
	name, kind, help, unit string
	labels                 []string
}

var descPattern = regexp.MustCompile(`fqName: "([^"]+)", help: "([^"]*)", (?:unit: "[^"]*", )?constLabels: {}, variableLabels: {([^}]*)}`)

// allMetrics describes every metric that the gateway makes.
func allMetrics(t testing.TB) map[string]metricInfo {
	t.Helper()
	all := map[string]metricInfo{}
	for _, c := range append(processMetrics.collectors(), &storeCollector{}) {
		kind := map[bool]string{true: "counter", false: "gauge"}
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			parts := descPattern.FindStringSubmatch(d.String())
			if parts == nil {
				t.Fatalf("cannot be read: %s", d)
			}
			info := metricInfo{name: parts[1], help: parts[2], kind: kind[strings.HasSuffix(parts[1], "_total")]}
			if _, ok := c.(*prometheus.HistogramVec); ok {
				info.kind = "histogram"
			}
			if parts[3] != "" {
				info.labels = strings.Split(parts[3], ",")
			}
			for _, unit := range []string{"seconds", "bytes"} {
				if strings.HasSuffix(strings.TrimSuffix(info.name, "_total"), "_"+unit) {
					info.unit = unit
				}
			}
			all[info.name] = info
		}
	}
	return all
}

const (
	metricsDoc   = "../docs/metrics.md"
	metricsBegin = "<!-- table of metrics: made by `SLUICE_UPDATE=1 go test ./caddymodule -run TestMetricsDocumented` -->\n"
	metricsEnd   = "<!-- end of the table -->\n"
)

// TestMetricsDocumented keeps the table in the documentation in step with the collectors.
func TestMetricsDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| metric | type | unit | labels | |\n|---|---|---|---|---|\n")
	all := allMetrics(t)
	for _, name := range sortedKeys(all) {
		m := all[name]
		if m.help == "" {
			t.Errorf("%s has no help", name)
		}
		labels := ""
		for _, l := range m.labels {
			labels += "`" + l + "` "
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, m.kind, m.unit, strings.TrimSpace(labels), m.help)
	}
	b.WriteString("\n")
	raw, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(raw), metricsBegin)
	_, after, ok2 := strings.Cut(rest, metricsEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", metricsDoc)
	}
	want := before + metricsBegin + b.String() + metricsEnd + after
	if want == string(raw) {
		return
	}
	if os.Getenv("SLUICE_UPDATE") == "" {
		t.Fatalf("%s is not in step with the metrics: run this test with SLUICE_UPDATE=1", metricsDoc)
	}
	if err := os.WriteFile(metricsDoc, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

var (
	usedMetric = regexp.MustCompile(`caddy_webhooks_[a-z_]+`)
	usedLabels = regexp.MustCompile(`(caddy_webhooks_[a-z_]+)\{([^}]*)\}`)
	labelName  = regexp.MustCompile(`([a-z_]+)\s*=~?\s*\\?["']|([a-z_]+)!=`)
)

// TestMonitoringUsesRealMetrics holds every metric and label that the alert rules, their tests and the dashboard name against the real ones.
func TestMonitoringUsesRealMetrics(t *testing.T) {
	all := allMetrics(t)
	resolve := func(name string) (metricInfo, bool) {
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			if m, ok := all[strings.TrimSuffix(name, suffix)]; ok && (suffix == "" || m.kind == "histogram") {
				return m, true
			}
		}
		return metricInfo{}, false
	}
	used := map[string]bool{}
	for _, file := range []string{"rules.yml", "rules_test.yml", "rules_rotation_test.yml", "dashboard.json", "../../docs/metrics.md", "../../docs/operating.md"} {
		raw, err := os.ReadFile(filepath.Join("../examples/monitoring", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range usedMetric.FindAllString(string(raw), -1) {
			m, ok := resolve(name)
			if !ok {
				t.Errorf("%s: there is no metric %s", file, name)
			}
			if strings.HasSuffix(file, ".json") || file == "rules.yml" {
				used[m.name] = true
			}
		}
		for _, selector := range usedLabels.FindAllStringSubmatch(string(raw), -1) {
			m, _ := resolve(selector[1])
			for _, label := range labelName.FindAllStringSubmatch(selector[2], -1) {
				name := label[1] + label[2]
				if known := append(slices.Clone(m.labels), "le", "instance"); !slices.Contains(known, name) {
					t.Errorf("%s: %s has no label %s", file, selector[1], name)
				}
			}
		}
	}
	for name := range all {
		if !used[name] {
			t.Errorf("%s is neither on the dashboard nor in a rule", name)
		}
	}
}

// TestMonitoringRules runs the rules' own tests, where promtool is there; .ci/monitoring gets it.
func TestMonitoringRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if promtool, err = filepath.Abs("../dist/promtool"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(promtool); err != nil {
			t.Skip("promtool is not installed; .ci/monitoring gets it")
		}
	}
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml", "rules_rotation_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = "../examples/monitoring"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// TestMetricsScraped sends, delivers and refuses, scrapes as Prometheus does, and finds every metric of the documentation.
func TestMetricsScraped(t *testing.T) {
	app := startApplication(t, nil)
	bad := startApplication(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	rig := startAdmin(t, "badger", fmt.Sprintf("destination scraped {\n to %s\n}\ndestination failing {\n to %s\n retry none\n breaker 1 30s\n}", app.URL, bad.URL),
		"webhook stripe {\n name scraped\n secret "+testSecret+"\n forward scraped\n forward failing\n}")
	rig.send("/", "evt_1", "invoice.paid", "")
	rig.do("POST", "/", nil, "{}")
	rig.settledAll("scraped")
	rig.settledAll("failing")
	families := scrape(t, rig)
	for name, m := range allMetrics(t) {
		family, ok := families[name]
		if !ok {
			t.Errorf("%s is not scraped", name)
			continue
		}
		if !strings.EqualFold(family.kind, m.kind) {
			t.Errorf("%s is a %s, not a %s", name, family.kind, m.kind)
		}
	}
	for series, want := range map[string]float64{
		`caddy_webhooks_requests_total{provider="stripe",result="accepted",source="scraped"}`: 1,
		`caddy_webhooks_refused_total{reason="unsigned",source="scraped"}`:                    1,
		`caddy_webhooks_deliveries_total{destination="failing",state="dead"}`:                 1,
		`caddy_webhooks_dead{destination="failing"}`:                                          1,
		`caddy_webhooks_store_committed_events_total{}`:                                       1,
		`caddy_webhooks_secret_matches_total{index="0",source="scraped"}`:                     1,
	} {
		name, _, _ := strings.Cut(series, "{")
		if got, ok := families[name].values[series]; !ok || got != want {
			t.Errorf("%s: %v, want %v", series, families[name].values, want)
		}
	}
}

type scraped struct {
	kind   string
	values map[string]float64
}

func scrape(t *testing.T, rig *adminRig) map[string]scraped {
	t.Helper()
	resp, err := rig.client.Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]scraped{}
	for name, family := range families {
		s := scraped{kind: family.GetType().String(), values: map[string]float64{}}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			slices.Sort(labels)
			s.values[name+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		out[name] = s
	}
	return out
}
