package verifiers_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestTimeInStep signs anew where a header must say the same time as the body.
func TestTimeInStep(t *testing.T) {
	p, at := compiled(t, "didit"), time.Unix(1800000000, 0)
	r := &verifiers.Request{
		Method: http.MethodPost, URL: new(url.URL), Body: []byte(`{"session_id":"s1","timestamp":1700000000}`), At: at,
		Header: http.Header{"X-Timestamp": {"1700000000"}, "X-Signature": {"of another key"}, "X-Signature-V2": {"of another key"}},
	}
	secret := verifiers.NewSecret([]byte("the application's"))
	if err := p.Sign(r, secret, "", at); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(t.Context(), r, []verifiers.Secret{secret}); err != nil || r.Header.Get("X-Signature-V2") != "" {
		t.Errorf("%v, with %v", err, r.Header)
	}
}
