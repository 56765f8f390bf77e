package crosscheck

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/crosscheck/rig"
)

// throughGateway is one SDK behind the gateway: the provider's secret is the gateway's alone, the application has one of its own.
type throughGateway struct {
	*sdk
	catalogue    *rig.Provider
	secret       string // with which the provider signs
	applications string // with which the gateway signs to the application
	app          *rig.Application
}

func (g *throughGateway) source() string { return g.sdk.provider }

// signedAt is long ago where the SDK would mind.
func (g *throughGateway) signedAt() time.Time {
	if g.dated {
		return time.Now().Add(-late)
	}
	return time.Now()
}

// newThroughGateway starts the application and writes the secrets into files under dir.
func newThroughGateway(t *testing.T, dir string, s *sdk) *throughGateway {
	t.Helper()
	g := &throughGateway{sdk: s}
	g.catalogue, g.secret, g.applications = lookup(t, s.provider)
	g.app = newApplication(t)
	for file, secret := range map[string]string{"-provider": g.secret, "-application": g.applications} {
		writeFile(t, filepath.Join(dir, g.source()+file), secret)
	}
	return g
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newApplication(t *testing.T) *rig.Application {
	t.Helper()
	app, err := rig.NewApplication(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(); err != nil {
			t.Error(err)
		}
	})
	return app
}

func startGateway(t *testing.T, site func(dir string) string) *rig.Gateway {
	t.Helper()
	binary, err := rig.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// the test's own context ends before its cleanup, which would end the process
	g, err := rig.Start(context.WithoutCancel(t.Context()), binary, func(dir string) (string, error) { return site(dir), nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// awaitLimit ends a test to whose application nothing is forwarded.
const awaitLimit = time.Minute

// await is the next request of an application.
func await(t *testing.T, app *rig.Application) rig.Arrived {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), awaitLimit)
	defer cancel()
	select {
	case r := <-app.Arrived:
		return r
	case <-ctx.Done():
		t.Fatal("nothing was forwarded")
		return rig.Arrived{}
	}
}

// TestSignProvider sends an event of each provider through the gateway to an application that verifies with the provider's SDK and knows
// nothing of the gateway, and holds what arrives against the SDK. The events are old, as after an outage: where the SDK refuses what is, the application would
// have lost the event if the gateway did not sign it anew.
func TestSignProvider(t *testing.T) {
	var through []*throughGateway
	gateway := startGateway(t, func(dir string) string {
		var site strings.Builder
		for i := range sdks {
			g := newThroughGateway(t, dir, &sdks[i])
			through = append(through, g)
			tolerance := ""
			if g.dated {
				tolerance = "\t\t\ttolerance 2h\n"
			}
			fmt.Fprintf(&site, `	handle /%[1]s {
		webhook %[1]s {
			secret "{file.%[2]s/%[1]s-provider}"
%[4]s			forward %[3]s/application?tenant=7 {
				sign provider "{file.%[2]s/%[1]s-application}"
			}
		}
	}
`, g.source(), filepath.ToSlash(dir), g.app.URL, tolerance)
		}
		return site.String()
	})
	for _, g := range through {
		t.Run(name(g.sdk), func(t *testing.T) {
			r, err := g.catalogue.Signed(rig.Message{Secret: g.secret, At: g.signedAt()})
			if err != nil {
				t.Fatal(err)
			}
			answer, err := gateway.Send(t.Context(), r)
			if err != nil || !answer.Accepted() {
				t.Fatalf("the gateway answers %d: %v", answer.Status, err)
			}
			got := await(t, g.app)
			if err := g.ask(got.Request, got.Body, g.applications); err != nil {
				t.Errorf("the SDK refuses what the gateway forwards: %v", err)
			}
			if g.ask(got.Request, got.Body, g.secret) == nil {
				t.Error("the SDK accepts it with the provider's secret, which the application need not know")
			}
			if g.ask(got.Request, tampered(t, got.Body), g.applications) == nil {
				t.Error("the SDK accepts a changed body")
			}
		})
	}
}
