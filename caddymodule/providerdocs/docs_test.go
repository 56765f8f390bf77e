package providerdocs

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/sluice-webhooks/sluice/caddymodule"
	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
)

var update = flag.Bool("update", false, "write the pages")

// directory holds the pages.
const directory = "../../docs/providers"

// TestPages compares the pages with what the catalogue says, and has -update write them.
func TestPages(t *testing.T) {
	pages, err := Pages()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		write(t, pages)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := pages[e.Name()]; !ok {
			t.Errorf("%s is of no provider: run go generate ./caddymodule/providerdocs", e.Name())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		on, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil {
			t.Errorf("%v: run go generate ./caddymodule/providerdocs", err)
		} else if string(on) != pages[name] {
			t.Errorf("%s is not what the catalogue says: run go generate ./caddymodule/providerdocs", name)
		}
	}
}

func write(t *testing.T, pages map[string]string) {
	t.Helper()
	if err := os.RemoveAll(directory); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var block = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")

// TestCaddyfiles loads each page's Caddyfile, as `caddy validate` would, with secrets of the right kind in the environment.
func TestCaddyfiles(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	for _, id := range catalogue.IDs() {
		t.Run(id, func(t *testing.T) {
			page, err := os.ReadFile(filepath.Join(directory, id+".md"))
			if err != nil {
				t.Fatal(err)
			}
			found := block.FindAllSubmatch(page, -1)
			if len(found) != 1 {
				t.Fatalf("%d Caddyfiles on the page", len(found))
			}
			text := found[0][1]
			if formatted := caddyfile.Format(text); string(formatted) != string(text) {
				t.Errorf("not formatted:\n%s", text)
			}
			setVariables(t, id)
			adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
			config, warnings, err := adapter.Adapt(text, map[string]any{"filename": "Caddyfile"})
			if err != nil || len(warnings) > 0 {
				t.Fatalf("%v %v", err, warnings)
			}
			var parsed caddy.Config
			if err := caddy.StrictUnmarshalJSON(config, &parsed); err != nil {
				t.Fatal(err)
			}
			if err := caddy.Validate(&parsed); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// setVariables gives the environment what a page's Caddyfile takes from it.
func setVariables(t *testing.T, id string) {
	t.Helper()
	spec, err := catalogue.Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProvider(spec)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := sender.TrialSecret(spec)
	if err != nil {
		t.Fatal(err)
	}
	if secret != "" {
		t.Setenv(p.Variable(), secret)
	}
	if p.token() {
		t.Setenv(p.tokenVariable(), "trial-token")
	}
	for name, value := range sender.TrialParams(spec) {
		t.Setenv(p.paramVariable(name), value)
	}
}
