package catalogue_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
	"github.com/sluice-webhooks/sluice/verifiers/catalogue"
	"github.com/sluice-webhooks/sluice/verifiers/verifierstest"
)

// TestProviders runs the conformance suite over every entry.
func TestProviders(t *testing.T) {
	for _, id := range catalogue.IDs() {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			spec, err := catalogue.Lookup(id)
			if err != nil {
				t.Fatal(err)
			}
			verifierstest.Run(t, spec)
		})
	}
}

// TestLookupUnknown checks that names which are no providers are told from those that cannot be read.
func TestLookupUnknown(t *testing.T) {
	for _, id := range []string{"", "nobody", "../spec", "stripe.yaml", "README.md", `a\b`} {
		if _, err := catalogue.Lookup(id); !errors.Is(err, catalogue.ErrUnknown) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestSchemes checks that each bare scheme can be looked up and asks for what it needs.
func TestSchemes(t *testing.T) {
	for _, id := range catalogue.Schemes() {
		spec, err := catalogue.Lookup(id)
		if err != nil || spec.Scheme != id {
			t.Errorf("%s: %v", id, err)
		}
		if slices.Contains(catalogue.IDs(), id) {
			t.Errorf("%s is a provider as well", id)
		}
	}
	hmac, err := catalogue.Lookup(verifiers.SchemeHMAC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifiers.Compile(hmac); err == nil {
		t.Error("hmac without a header compiles")
	}
}
