package verifiers_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// certificate makes one that parent signs; its own key signs where parent is nil.
func certificate(t *testing.T, name string, key crypto.Signer, parent *x509.Certificate, parentKey crypto.Signer, isCA bool, oid string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: isCA, BasicConstraintsValid: true,
		NotBefore: time.Unix(1690000000, 0), NotAfter: time.Unix(1710000000, 0), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if oid != "" {
		var id asn1.ObjectIdentifier
		for _, part := range strings.Split(oid, ".") {
			n, ok := new(big.Int).SetString(part, 10)
			if !ok {
				t.Fatal(part)
			}
			id = append(id, int(n.Int64()))
		}
		template.ExtraExtensions = []pkix.Extension{{Id: id, Value: []byte{5, 0}}}
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func certPEM(certs ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range certs {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.String()
}

func privatePEM(t *testing.T, k crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestRSACert verifies with a certificate from an address in the request, and with everything that is not quite it.
func TestRSACert(t *testing.T) {
	rootKey, leafKey := newECKey(t), mustRSA(t)
	root := certificate(t, "Root", rootKey, nil, nil, true, "")
	leaf := certificate(t, "signing.acme.example", leafKey, root, rootKey, false, "")
	stranger := certificate(t, "signing.acme.example", mustRSA(t), nil, nil, true, "")
	namesake := certificate(t, "evil.test", leafKey, root, rootKey, false, "")
	const host = "https://certs.acme.example"
	server := &keyServer{documents: map[string]string{
		host + "/c/leaf.pem": certPEM(leaf), host + "/c/stranger.pem": certPEM(stranger), host + "/c/namesake.pem": certPEM(namesake), host + "/c/broken.pem": "no certificate",
	}}
	spec := &verifiers.Spec{
		ID: "acme", Scheme: verifiers.SchemeRSACert, Signature: verifiers.Signature{Names: []string{"X-Sig"}},
		KeySource: &verifiers.KeySource{
			URL: "{header.X-Cert}", Hosts: []string{".acme.example"}, Kind: "certificate", PathPrefix: "/c/", PathSuffix: ".pem",
			CommonName: ".acme.example", Chain: true, Roots: certPEM(root),
		},
	}
	p, err := verifiers.Compile(spec, verifiers.WithKeyFetcher(server))
	if err != nil {
		t.Fatal(err)
	}
	r := bearer("")
	if err := p.Sign(r, verifiers.NewSecret([]byte(privatePEM(t, leafKey))), "", r.At); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr string
		at   int64
		want error
	}{
		{host + "/c/leaf.pem", 1700000000, nil},
		{host + "/c/leaf.pem", 1710000001, verifiers.ErrMismatch},
		{host + "/c/leaf.pem", 1689999999, verifiers.ErrMismatch},
		{host + "/c/stranger.pem", 1700000000, verifiers.ErrMismatch},
		{host + "/c/namesake.pem", 1700000000, verifiers.ErrMismatch},
		{host + "/c/broken.pem", 1700000000, verifiers.ErrKeysUnavailable},
		{host + "/c/absent.pem", 1700000000, verifiers.ErrKeysUnavailable},
		{"", 1700000000, verifiers.ErrUnsigned},
		{"https://CERTS.acme.example:443/c/leaf.pem", 1700000000, nil},
		{host + "/c/leaf.pem?0.pem", 1700000000, verifiers.ErrMismatch},
		{host + "/c/leaf.pem?", 1700000000, verifiers.ErrMismatch},
		{host + "/c/leaf.pem#0", 1700000000, verifiers.ErrMismatch},
		{host + "/c/%6ceaf.pem", 1700000000, verifiers.ErrMismatch},
		{"http://certs.acme.example/c/leaf.pem", 1700000000, verifiers.ErrMismatch},
		{"https://certs.acme.example:8443/c/leaf.pem", 1700000000, verifiers.ErrMismatch},
		{"https://user@certs.acme.example/c/leaf.pem", 1700000000, verifiers.ErrMismatch},
		{"https://acme.example.evil.test/c/leaf.pem", 1700000000, verifiers.ErrMismatch},
		{"https://evil.test/.acme.example/c/leaf.pem", 1700000000, verifiers.ErrMismatch},
		{"https://evil.test#.acme.example/c/leaf.pem", 1700000000, verifiers.ErrMismatch},
		{"https://evil.test\\.acme.example/c/leaf.pem", 1700000000, verifiers.ErrMismatch},
		{host + "/d/leaf.pem", 1700000000, verifiers.ErrMismatch},
		{host + "/c/../d/leaf.pem", 1700000000, verifiers.ErrMismatch},
		{host + "/c/%2e%2e/d/leaf.pem", 1700000000, verifiers.ErrMismatch},
		{host + "/c/leaf.pem?x=.pem", 1700000000, verifiers.ErrMismatch},
		{"file:///etc/passwd.pem", 1700000000, verifiers.ErrMismatch},
		{"https://certs.acme.example/c/" + strings.Repeat("a", 9000) + ".pem", 1700000000, verifiers.ErrMismatch},
	} {
		r.At = time.Unix(c.at, 0)
		r.Header.Set("X-Cert", c.addr)
		expectErr(t, c.addr, verifyErr(p, r), c.want)
	}
	for _, u := range server.fetched {
		if !strings.HasPrefix(u, host+"/c/") {
			t.Errorf("fetched %s", u)
		}
	}
}

func mustRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestX5C verifies tokens that bring their chain of certificates.
func TestX5C(t *testing.T) {
	const leafOID, interOID = "1.2.840.113635.100.6.11.1", "1.2.840.113635.100.6.2.1"
	rootKey, interKey, leafKey := newECKey(t), newECKey(t), newECKey(t)
	root := certificate(t, "Root", rootKey, nil, nil, true, "")
	inter := certificate(t, "Intermediate", interKey, root, rootKey, true, interOID)
	leaf := certificate(t, "Leaf", leafKey, inter, interKey, false, leafOID)
	plain := certificate(t, "Leaf", leafKey, inter, interKey, false, "")
	foreignRoot := certificate(t, "Root", interKey, nil, nil, true, interOID)
	foreign := certificate(t, "Leaf", leafKey, foreignRoot, interKey, false, leafOID)
	spec := &verifiers.Spec{
		ID: "acme", Scheme: verifiers.SchemeJWS, Signature: verifiers.Signature{In: "json", Names: []string{"signedPayload"}},
		JWT: &verifiers.JWT{Algorithms: []string{"ES256"}, X5C: &verifiers.X5C{Root: certPEM(root), LeafOID: leafOID, IntermediateOID: interOID}},
	}
	p, err := verifiers.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		chain []*x509.Certificate
		key   *ecdsa.PrivateKey
		want  error
	}{
		{"good", []*x509.Certificate{leaf, inter, root}, leafKey, nil},
		{"another key", []*x509.Certificate{leaf, inter, root}, interKey, verifiers.ErrMismatch},
		{"without its purpose", []*x509.Certificate{plain, inter, root}, leafKey, verifiers.ErrMismatch},
		{"another root", []*x509.Certificate{foreign, foreignRoot, foreignRoot}, leafKey, verifiers.ErrMismatch},
		{"no intermediate", []*x509.Certificate{leaf}, leafKey, verifiers.ErrMismatch},
		{"intermediate as leaf", []*x509.Certificate{inter, root}, interKey, verifiers.ErrMismatch},
		{"no chain", nil, leafKey, verifiers.ErrMismatch},
	} {
		var x5c []string
		for _, cert := range c.chain {
			x5c = append(x5c, base64.StdEncoding.EncodeToString(cert.Raw))
		}
		opts := &jose.SignerOptions{}
		if x5c != nil {
			opts.WithHeader("x5c", x5c)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: c.key}, opts)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := signer.Sign([]byte(`{"notificationUUID":"u1"}`))
		if err != nil {
			t.Fatal(err)
		}
		text, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		r := bearer("")
		r.Body = []byte(`{"signedPayload":"` + text + `"}`)
		expectErr(t, c.name, verifyErr(p, r), c.want)
		r.At = time.Unix(1720000000, 0)
		expectErr(t, c.name+" after its end", verifyErr(p, r), verifiers.ErrMismatch)
	}
}

// TestVisitHosts checks that a handshake sends nobody anywhere but to the pinned hosts.
func TestVisitHosts(t *testing.T) {
	spec := &verifiers.Spec{
		ID: "acme", Scheme: verifiers.SchemeNone,
		Handshakes: []verifiers.Handshake{{
			Name: "confirm", Match: []verifiers.Check{{Expr: "json:confirm", Present: true}}, Visit: "json:confirm", VisitHosts: []string{"api.acme.example"},
		}},
	}
	p, err := verifiers.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	visits := map[string]bool{
		"https://api.acme.example/ok?x=1": true, "http://api.acme.example/": false, "https://api.acme.example:9/": false, "https://evil.test/": false,
		"https://u:p@api.acme.example/": false, "https://169.254.169.254/": false, "//api.acme.example/": false, "%": false, "gopher://api.acme.example/": false,
	}
	for _, addr := range slices.Sorted(maps.Keys(visits)) {
		r := &verifiers.Request{Method: http.MethodPost, URL: &url.URL{}, Header: http.Header{}, Body: []byte(`{"confirm":"` + addr + `"}`)}
		reply, ok, err := p.Challenge(context.Background(), r, nil, false)
		if !ok || (err == nil) != visits[addr] || (reply.Visit == addr) != visits[addr] {
			t.Errorf("%s: visit %q, %v %v", addr, reply.Visit, ok, err)
		}
	}
	if !p.VisitAllowed("api.acme.example") || p.VisitAllowed("evil.test") {
		t.Error("redirects are not pinned")
	}
}
