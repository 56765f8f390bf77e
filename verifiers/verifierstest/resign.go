package verifierstest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// testResigned signs a request anew, as is done for an application that has a secret of its own: later, with that secret, and under whichever names the first
// signature came. An application reads one of the names and never learns which of them we read, so each must do alone.
func testResigned(t *testing.T, g genuine) {
	if g.spec.Scheme == verifiers.SchemeNone {
		return
	}
	other, ok := otherSecret(g.spec, string(g.secrets[0].Bytes()))
	if !ok {
		return
	}
	later := now.Add(90 * time.Minute)
	for _, flavour := range flavours(g.spec) {
		r := clone(g.r)
		for from, to := range flavour {
			r.Header[to] = r.Header[from]
			delete(r.Header, from)
		}
		mustAccept(t, g.p, r, g.secrets, "under other names")
		for _, name := range g.spec.Signature.Legacy {
			r.Header.Set(name, "of an older kind")
		}
		if err := g.p.Sign(r, verifiers.NewSecret([]byte(other)), "msg_test", later); err != nil {
			t.Fatalf("signed anew: %v", err)
		}
		r.At = later
		mustAccept(t, g.p, r, secretsOf(other), "signed anew")
		first, alternative := clone(r), clone(r)
		for from, to := range flavour {
			delete(first.Header, to)
			delete(alternative.Header, from)
		}
		mustAccept(t, g.p, first, secretsOf(other), "signed anew, to one who reads the first names")
		mustAccept(t, g.p, alternative, secretsOf(other), "signed anew, to one who reads the other names")
		for _, name := range g.spec.Signature.Legacy {
			if r.Header.Get(name) != "" {
				t.Errorf("signed anew: %s is still there", name)
			}
		}
	}
}

// flavours are the names that a request's headers may have in place of the first ones: none, and one set for each alternative.
func flavours(spec *verifiers.Spec) []map[string]string {
	out := []map[string]string{{}}
	if spec.Signature.In != "" && spec.Signature.In != "header" {
		return out
	}
	names := slices.Clone(spec.Signature.Names)
	if spec.Signature.Numbered > 1 {
		names = []string{strings.ReplaceAll(names[0], "{n}", "1"), strings.ReplaceAll(names[0], "{n}", "2")}
	}
	var ids []string
	for id := range strings.SplitSeq(spec.MessageID, " || ") {
		ids = append(ids, strings.TrimPrefix(id, "header:"))
	}
	for rank := range max(len(names), len(spec.Timestamp.Names)) {
		flavour := map[string]string{}
		for _, alternatives := range [][]string{names, spec.Timestamp.Names, ids} {
			if rank > 0 && rank < len(alternatives) {
				flavour[http.CanonicalHeaderKey(alternatives[0])] = http.CanonicalHeaderKey(alternatives[rank])
			}
		}
		if len(flavour) > 0 {
			out = append(out, flavour)
		}
	}
	return out
}
