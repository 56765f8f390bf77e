package caddymodule

import (
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestIDsThatTellDuplicates: an id that is not signed does so with the body, unless an operator says that it is the id.
func TestIDsThatTellDuplicates(t *testing.T) {
	signed := verifiers.Spec{Scheme: "hmac", Signature: verifiers.Signature{Names: []string{"X-Sig"}}}
	withID := signed
	withID.Event.ID = "header:X-Id"
	app := &App{Providers: map[string]*ProviderConfig{"own": {Spec: withID}, "extended": {Extends: "chargify", Spec: verifiers.Spec{Event: verifiers.Event{ID: "header:X-Id"}}}}}
	for _, test := range []struct {
		source SourceConfig
		byBody bool
	}{
		{SourceConfig{Provider: "chargify"}, true},
		{SourceConfig{Provider: "chargify", Spec: &verifiers.Spec{Event: verifiers.Event{ID: "header:X-Id"}}}, false},
		{SourceConfig{Provider: "hmac", Spec: &withID}, false},
		{SourceConfig{Provider: "own"}, false},
		{SourceConfig{Provider: "extended"}, false},
	} {
		h := &Handler{SourceConfig: test.source, app: app}
		spec, err := h.spec()
		if err != nil {
			t.Fatal(err)
		}
		p, err := verifiers.Compile(spec)
		if err != nil {
			t.Fatal(err)
		}
		if p.DedupsByBody() != test.byBody {
			t.Errorf("%s with %+v: by body as well: %v", h.Provider, h.Spec, p.DedupsByBody())
		}
	}
}
