// Package catalogue holds what Sluice knows of each provider: one data file per provider, in the form that README.md describes. A file is read
// only when its provider is asked for.
package catalogue

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-webhooks/sluice/verifiers"
)

//go:embed *.yaml
var files embed.FS

// ErrUnknown means that the catalogue has no provider of that id.
var ErrUnknown = errors.New("unknown provider")

const suffix = ".yaml"

// loaded keeps the Specs that were asked for.
var loaded = struct {
	sync.Mutex
	specs map[string]*verifiers.Spec
}{specs: map[string]*verifiers.Spec{}}

// schemes are the bare schemes that a configuration may name in place of a provider and fill in itself. "standard" has a file of its own.
var schemes = map[string]string{
	verifiers.SchemeHMAC: "HMAC", verifiers.SchemeConcatHash: "Hash over secret and content", verifiers.SchemeEd25519: "Ed25519",
	verifiers.SchemeECDSA: "ECDSA", verifiers.SchemeRSA: "RSA", verifiers.SchemeJWT: "JWT", verifiers.SchemeJWS: "JWS",
	verifiers.SchemeToken: "Token", verifiers.SchemeBasic: "HTTP Basic", verifiers.SchemeNone: "Unsigned",
}

// Schemes lists the bare schemes that Lookup knows besides the providers, sorted.
func Schemes() []string { return slices.Sorted(maps.Keys(schemes)) }

// Lookup returns the Spec of a provider, or a Spec with nothing but the scheme for the name of a bare scheme. It is shared and must not be changed: see [verifiers.Spec.Merge]. An unknown id is ErrUnknown.
func Lookup(id string) (*verifiers.Spec, error) {
	if strings.ContainsAny(id, "./\\") || id == "" {
		return nil, fmt.Errorf("%w: %q", ErrUnknown, id)
	}
	loaded.Lock()
	defer loaded.Unlock()
	if s := loaded.specs[id]; s != nil {
		return s, nil
	}
	if name, ok := schemes[id]; ok {
		return &verifiers.Spec{ID: id, Name: name, Scheme: id, Confidence: verifiers.ConfidenceOfficial}, nil
	}
	raw, err := files.ReadFile(id + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q", ErrUnknown, id)
	}
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", id, err)
	}
	s, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", id, err)
	}
	if s.ID != id {
		return nil, fmt.Errorf("provider %s: id in the file is %q", id, s.ID)
	}
	loaded.specs[id] = s
	return s, nil
}

// Parse reads a data file. Unknown fields are errors.
func Parse(raw []byte) (*verifiers.Spec, error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	var s verifiers.Spec
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("data file: %w", err)
	}
	return &s, nil
}

// IDs lists all providers, sorted. It reads no file.
func IDs() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the directory is part of the binary
	}
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, strings.TrimSuffix(e.Name(), suffix))
	}
	return ids
}

// All returns every Spec, sorted by id.
func All() ([]*verifiers.Spec, error) {
	var all []*verifiers.Spec
	for _, id := range IDs() {
		s, err := Lookup(id)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
