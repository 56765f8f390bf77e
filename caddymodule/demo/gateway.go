package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"text/template"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sluice-webhooks/sluice/caddymodule/sandbox"
)

// The retries of the applications are the ones of a real configuration, made short enough to watch.
var caddyfileTemplate = template.Must(template.New("Caddyfile").Parse(`{
	admin {{.Admin}}
{{.Options}}	log {
		output net {{.Log}}
		format json
		level DEBUG
		include webhooks http.handlers.webhook
	}
	webhooks {
		store badger "{{.Store}}" {
			min_free 16MiB
		}
		destination onboarding {
			to          http://{{.Onboarding}}/events
			timeout     2s
			retry       exponential 300ms 1s for 1m
			max_attempts 8
			dead_on     410 422
			concurrency {{.Concurrency}}
			breaker     5 1s
			sign        standard "{{.OnboardingSecret}}"
		}
		destination visa_desk {
			to          http://{{.VisaDesk}}/heyvisa
			timeout     2s
			retry       200ms 400ms 800ms 1s 2s 4s
			format      original
			sign        provider "{{.VisaDeskSecret}}"
		}
	}
}

http://{{.Address}} {
	handle /heyvisa {
		webhook heyvisa {
			secret  "{{.HeyVisa}}"
			forward onboarding
			forward visa_desk
		}
	}
	handle /legaltalent_kyc {
		webhook legaltalent_kyc {
			secret   "{{.LegalTalent}}"
			max_body 64KiB
			forward  onboarding
		}
	}
	handle /scan_documents {
		webhook scan_documents {
			secret  "{{.ScanDocuments}}"
			forward onboarding
		}
	}
	handle /verifeye/* {
		webhook verifeye {
			token   path "{{.VerifEye}}"
			forward onboarding {
				enrich http://{{.Results}}/get-session-result?verificationSessionId={json.verificationSessionId} {
					header Authorization "{{.APIKey}}"
				}
			}
		}
	}
	handle /vericato {
		webhook vericato {
			token   query:token "{{.Vericato}}"
			forward onboarding
		}
	}
}
`))

// gateway is the gateway of the story.
type gateway struct {
	*sandbox.Sandbox
	stage *stage
}

func startGateway(ctx context.Context, s *stage) (*gateway, error) {
	box, err := sandbox.Start(ctx, func(address, admin string) (string, error) { return s.configuration(address, admin, 4) })
	if err != nil {
		return nil, fmt.Errorf("starting the gateway: %w", err)
	}
	return &gateway{Sandbox: box, stage: s}, nil
}

// reload loads the configuration with another limit of onboarding.
func (g *gateway) reload(concurrency int) error {
	text, err := g.stage.configuration(g.Address, g.Admin, concurrency)
	if err != nil {
		return err
	}
	return g.Load(text)
}

// configuration is the Caddyfile of the story.
func (s *stage) configuration(address, admin string, concurrency int) (string, error) {
	var text strings.Builder
	err := caddyfileTemplate.Execute(&text, map[string]any{
		"Options": sandbox.GlobalOptions, "Concurrency": concurrency,
		"Admin": admin, "Log": s.tap.address, "Store": filepath.ToSlash(filepath.Join(s.dir, "store")), "Address": address,
		"Onboarding": s.onboarding.address, "VisaDesk": s.visaDesk.address, "Results": s.results.address,
		"OnboardingSecret": s.secrets.placeholder("onboarding"), "VisaDeskSecret": s.secrets.placeholder("visa_desk"),
		"HeyVisa": s.secrets.placeholder("heyvisa"), "LegalTalent": s.secrets.placeholder("legaltalent_kyc"),
		"ScanDocuments": s.secrets.placeholder("scan_documents"), "VerifEye": s.secrets.placeholder("verifeye"),
		"Vericato": s.secrets.placeholder("vericato"), "APIKey": s.secrets.placeholder("verifeye_api_key"),
	})
	if err != nil {
		return "", fmt.Errorf("writing the configuration: %w", err)
	}
	return text.String(), nil
}

// replay asks the admin API to deliver what is dead of a source once more.
func (g *gateway) replay(ctx context.Context, source, destination string) error {
	order, err := json.Marshal(map[string]any{"filter": map[string]any{"source": source, "destination": destination, "states": []string{"dead"}}})
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Admin+"/webhooks/replay", bytes.NewReader(order))
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("replay: the admin API answered %d", resp.StatusCode)
	}
	return nil
}

// counters is the gateway's own account, from its metrics: the name of a metric and the values of its labels, in the order of their names.
type counters map[string]float64

func (g *gateway) counters(ctx context.Context) (counters, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.Admin+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	out := make(counters)
	for name, family := range families {
		for _, m := range family.Metric {
			var value float64
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				value = m.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				value = m.GetGauge().GetValue()
			default:
				continue
			}
			key := []string{name}
			for _, label := range m.Label {
				key = append(key, label.GetValue())
			}
			out[strings.Join(key, " ")] = value
		}
	}
	return out, nil
}

// since subtracts what was counted before: the counters of a process outlive a configuration.
func (c counters) since(before counters) counters {
	out := make(counters, len(c))
	for key, value := range c {
		out[key] = value - before[key]
	}
	return out
}

// value is a metric with the values of its labels; requests_total, for one, has provider, result and source.
func (c counters) value(parts ...string) int {
	return int(c["caddy_webhooks_"+strings.Join(parts, " ")])
}
