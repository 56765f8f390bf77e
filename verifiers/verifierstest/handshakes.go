package verifierstest

import (
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// testHandshake sends the handshake's vectors and compares the answers byte for byte.
func testHandshake(t *testing.T, spec *verifiers.Spec, h *verifiers.Handshake) {
	if len(h.Vectors) == 0 && len(h.Match) > 0 {
		t.Error("no vector")
	}
	for i := range h.Vectors {
		v := &h.Vectors[i]
		p := compile(t, spec, v.Params, nil)
		method := v.Method
		if method == "" && len(h.Methods) > 0 {
			method = h.Methods[0]
		}
		r := request(t, method, v.URL, v.Headers, v.Body)
		secrets := secretsOf(v.Secret)
		if _, ok, _ := p.Challenge(context.Background(), r, secrets, !h.Signed); ok {
			t.Errorf("answered with verified=%v", !h.Signed)
		}
		reply, ok, err := p.Challenge(context.Background(), r, secrets, h.Signed)
		if err != nil || !ok {
			t.Fatalf("not answered: %v", err)
		}
		compareReply(t, v, reply)
		testRequirements(t, p, h, r, v.Secret)
	}
}

func compareReply(t *testing.T, v *verifiers.HandshakeVector, reply verifiers.Reply) {
	t.Helper()
	status := v.Status
	if status == 0 {
		status = 200
	}
	if reply.Status != status || string(reply.Body) != v.Reply {
		t.Errorf("answered %d %q, expected %d %q", reply.Status, reply.Body, status, v.Reply)
	}
	if v.ContentType != "" && reply.ContentType != v.ContentType {
		t.Errorf("content type %q, expected %q", reply.ContentType, v.ContentType)
	}
	if len(v.ReplyHeader)+len(reply.Header) > 0 && !maps.Equal(reply.Header, v.ReplyHeader) {
		t.Errorf("headers %v, expected %v", reply.Header, v.ReplyHeader)
	}
	for _, c := range []struct{ what, got, want string }{
		{"secret", string(reply.StoreSecret), v.StoreSecret}, {"surfaced", reply.Surface, v.Surface}, {"visit", reply.Visit, v.Visit},
	} {
		if c.got != c.want {
			t.Errorf("%s %q, expected %q", c.what, c.got, c.want)
		}
	}
}

// testRequirements checks that a handshake without what must agree is refused, not ignored.
func testRequirements(t *testing.T, p *verifiers.Provider, h *verifiers.Handshake, r *verifiers.Request, secret string) {
	if len(h.Require) == 0 {
		return
	}
	if slices.ContainsFunc(h.Require, func(c verifiers.Check) bool { return c.Equals == "secret" }) {
		secret = "another secret"
	}
	stranger := compile(t, p.Spec(), nil, nil)
	reply, ok, err := stranger.Challenge(context.Background(), r, secretsOf(secret), h.Signed)
	if !ok || err == nil || len(reply.Body) > 0 {
		t.Errorf("answered %q although what must agree does not: %v", reply.Body, err)
	}
}
