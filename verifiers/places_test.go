package verifiers

import (
	"slices"
	"testing"
)

func TestPlaces(t *testing.T) {
	e, err := ParseExpr(`json:data.id>sha256>hex literal:x || header:x-id form:a\ b || query:q raw>json:b`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Place{{"json", "data.id", "sha256>hex"}, {"literal", "x", ""}, {"header", "X-Id", ""}, {"form", "a b", ""}, {"query", "q", ""}, {"raw", "", "json:b"}}
	if got := e.Places(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := (Expr{}).Places(); got != nil {
		t.Errorf("no expression: %v", got)
	}
	for name, p := range barePlaces {
		if placeKinds[p] != name {
			t.Errorf("%s is called %s", name, placeKinds[p])
		}
	}
}
