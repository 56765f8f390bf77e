package verifiers

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	lru "github.com/hashicorp/golang-lru/v2"
)

// KeyRefresher is a KeyFetcher that can be asked for a copy newer than the one it keeps, because a key was rotated. Implementations bound how often.
type KeyRefresher interface {
	KeyFetcher
	// Refresh returns a newer copy, or the one it keeps if that was fetched a moment ago. One from before since will not do: then the error wraps
	// ErrKeysUnavailable, for nobody knows yet.
	Refresh(ctx context.Context, rawURL string, since time.Time, allowed func(host string) bool) ([]byte, error)
}

// copyWanted says how new a copy of a document must be.
type copyWanted int

const (
	keptCopy    copyWanted = iota // the one that is kept
	newerCopy                     // newer than that, unless it was fetched a moment ago
	currentCopy                   // from after the request came: without it nobody can say that a key which the request names is not the provider's
)

// keySource is a compiled KeySource.
type keySource struct {
	p     *Provider
	spec  *KeySource
	url   *Template
	hosts []*Template
	// unnamed is the param whose value is missing from an address that needs it: nothing can be fetched then, and only configured keys verify.
	unnamed string
	roots   *x509.CertPool
	// parsed keeps what documents say, by address. Senders choose addresses only within the pinned hosts, and the cache is bounded all the same.
	parsed *lru.Cache[string, *keyDocument]
}

// keyDocument is a fetched document and what it says.
type keyDocument struct {
	raw  []byte
	keys []*key
	jwks *jose.JSONWebKeySet
	cert *x509.Certificate
	rest *x509.CertPool // the other certificates of the file
}

const maxKeyDocuments = 128

func (p *Provider) compileKeySource() error {
	s := p.spec.KeySource
	if s == nil {
		return nil
	}
	return p.newKeySource(s)
}

func (p *Provider) newKeySource(s *KeySource) error {
	ks := &keySource{p: p, spec: s}
	var err error
	if ks.url, err = p.parseTemplate("key_source.url", s.URL); err != nil {
		return err
	}
	if len(s.Hosts) == 0 && !ks.url.fixed() {
		return fieldError("key_source.hosts", "expected the only hosts that keys may come from")
	}
	if ks.hosts, err = p.parseHosts("key_source.hosts", s.Hosts); err != nil {
		return err
	}
	if err := ks.checkFixed(); err != nil {
		return err
	}
	if !slices.Contains([]string{"jwks", "certificate", "pem", "x509_map"}, s.Kind) {
		return fieldError("key_source.kind", "%q is not known: expected jwks, certificate, pem or x509_map", s.Kind)
	}
	if s.Roots != "" {
		ks.roots = x509.NewCertPool()
		if !ks.roots.AppendCertsFromPEM([]byte(s.Roots)) {
			return fieldError("key_source.roots", "expected certificates in PEM")
		}
	}
	if ks.parsed, err = lru.New[string, *keyDocument](maxKeyDocuments); err != nil {
		return fmt.Errorf("key cache: %w", err)
	}
	p.keySource = ks
	return nil
}

// document fetches and reads the document for a request.
func (s *keySource) document(ctx context.Context, a *attempt, want copyWanted) (*keyDocument, error) {
	addr, err := s.address(a)
	if err != nil {
		return nil, err
	}
	return s.fetch(ctx, a, addr, want)
}

func (s *keySource) fetch(ctx context.Context, a *attempt, addr string, want copyWanted) (*keyDocument, error) {
	if s.p.fetcher == nil {
		return nil, fmt.Errorf("%w: nothing to fetch them with", ErrKeysUnavailable)
	}
	get := s.p.fetcher.Fetch
	if r, ok := s.p.fetcher.(KeyRefresher); ok && want != keptCopy {
		var since time.Time
		if want == currentCopy {
			since = a.r.At
		}
		get = func(ctx context.Context, rawURL string, allowed func(string) bool) ([]byte, error) {
			return r.Refresh(ctx, rawURL, since, allowed)
		}
	}
	patterns := s.patterns(a, addr) // resolved now: the fetcher may ask after a has been released
	raw, err := get(ctx, addr, func(host string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return matchHost(p, host) })
	})
	if err != nil {
		return nil, err
	}
	if d, ok := s.parsed.Get(addr); ok && bytes.Equal(d.raw, raw) {
		return d, nil
	}
	d, err := s.parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKeysUnavailable, s.spec.Kind, err)
	}
	s.parsed.Add(addr, d)
	return d, nil
}

// patterns are those of the hosts that keys may come from: the address's own, where the data names none.
func (s *keySource) patterns(a *attempt, addr string) (out []string) {
	if len(s.hosts) == 0 {
		if u, err := url.Parse(addr); err == nil {
			return []string{u.Hostname()}
		}
	}
	for _, t := range s.hosts {
		out = append(out, t.string(a))
	}
	return out
}

// keys returns the keys that may have signed a request. An id that is not among them asks for a newer copy by itself.
func (s *keySource) keys(ctx context.Context, a *attempt, keyID string, want copyWanted) ([]*key, error) {
	d, err := s.document(ctx, a, want)
	if err != nil {
		return nil, err
	}
	if d.cert != nil {
		if err := s.trust(d, a); err != nil {
			return nil, err
		}
	}
	has := func(k *key) bool { return keyID == "" || k.id == "" || k.id == keyID }
	if keyID != "" && !slices.ContainsFunc(d.keys, has) {
		if d, err = s.document(ctx, a, currentCopy); err != nil {
			return nil, err
		}
	}
	var out []*key
	for _, k := range d.keys {
		if has(k) {
			out = append(out, k)
		}
	}
	return out, nil
}

// trust checks a certificate beyond its address.
func (s *keySource) trust(d *keyDocument, a *attempt) error {
	if a.r.At.Before(d.cert.NotBefore) || a.r.At.After(d.cert.NotAfter) {
		return fmt.Errorf("%w: certificate is not valid at this time", ErrMismatch)
	}
	if cn := s.spec.CommonName; cn != "" && !strings.HasSuffix(d.cert.Subject.CommonName, cn) {
		return fmt.Errorf("%w: certificate is somebody else's", ErrMismatch)
	}
	if !s.spec.Chain {
		return nil
	}
	_, err := d.cert.Verify(x509.VerifyOptions{
		Roots: s.roots, Intermediates: d.rest, CurrentTime: a.r.At, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("%w: certificate is not trusted", ErrMismatch)
	}
	return nil
}

// parse reads a document of the source's kind.
func (s *keySource) parse(raw []byte) (*keyDocument, error) {
	d := &keyDocument{raw: raw}
	if s.spec.Field != "" {
		raw = []byte(jsonValue(raw, s.spec.Field))
	}
	switch s.spec.Kind {
	case "jwks":
		d.jwks = &jose.JSONWebKeySet{}
		if err := json.Unmarshal(raw, d.jwks); err != nil {
			return nil, fmt.Errorf("not a key set: %w", err)
		}
		for _, k := range d.jwks.Keys {
			d.keys = append(d.keys, &key{id: k.KeyID, public: k.Key})
		}
	case "x509_map":
		var certs map[string]string
		if err := json.Unmarshal(raw, &certs); err != nil {
			return nil, fmt.Errorf("not a map of certificates: %w", err)
		}
		d.jwks = &jose.JSONWebKeySet{}
		for id, text := range certs {
			pub, err := parseKeyPair([]byte(text))
			if err != nil {
				return nil, err
			}
			d.keys = append(d.keys, &key{id: id, public: pub})
			d.jwks.Keys = append(d.jwks.Keys, jose.JSONWebKey{Key: pub, KeyID: id})
		}
	case "certificate":
		return d, d.parseCertificates(raw)
	default:
		pub, err := parseKeyPair(raw)
		if err != nil {
			return nil, err
		}
		d.keys = []*key{{public: pub}}
	}
	return d, nil
}

// parseCertificates reads a PEM file: the leaf first, then what helps to build its chain.
func (d *keyDocument) parseCertificates(raw []byte) error {
	d.rest = x509.NewCertPool()
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("not a certificate: %w", err)
		}
		if d.cert == nil {
			d.cert = cert
			d.keys = []*key{{public: cert.PublicKey}}
			continue
		}
		d.rest.AddCert(cert)
	}
	if d.cert == nil {
		return fmt.Errorf("no certificate in it")
	}
	return nil
}
