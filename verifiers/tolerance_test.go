package verifiers_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// TestToleranceOfFarTimes signs at times of which the difference to now is more than a duration can be.
func TestToleranceOfFarTimes(t *testing.T) {
	p, err := verifiers.Compile(&verifiers.Spec{ID: "x", Scheme: verifiers.SchemeStandard, Methods: []string{http.MethodPost}})
	if err != nil {
		t.Fatal(err)
	}
	secret := verifiers.NewSecret([]byte("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"))
	now := time.Now()
	for _, years := range []int{-300, -200, 0, 200, 300, 7000} {
		r := &verifiers.Request{Method: http.MethodPost, URL: &url.URL{Path: "/"}, Header: http.Header{}, Body: []byte(`{"type":"a"}`), At: now}
		if err := p.Sign(r, secret, "msg_1", now.AddDate(years, 0, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Verify(t.Context(), r, []verifiers.Secret{secret}); (err == nil) != (years == 0) || years > 0 && !errors.Is(err, verifiers.ErrStale) {
			t.Errorf("signed in %d years: %v", years, err)
		}
	}
}
