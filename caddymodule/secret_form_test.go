package caddymodule

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// TestSecretForm checks that a secret which is not written as the provider's are is a mistake of the configuration, and that a file which becomes
// one leaves the last good value live.
func TestSecretForm(t *testing.T) {
	t.Setenv("BROKEN_SECRET", "whsec_not-base64!")
	g := &testGateway{t: t, addr: freeAddr(t), dir: t.TempDir()}
	err := g.load("", "webhook standard {\n secret {env.BROKEN_SECRET}\n}")
	if err == nil || !strings.Contains(err.Error(), "{env.BROKEN_SECRET}") || strings.Contains(err.Error(), "not-base64") {
		t.Errorf("loading: %v", err)
	}

	path := filepath.Join(t.TempDir(), "secret")
	write := func(text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	const good, better = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	write(good, time.Hour)
	set, err := newSecretSet([]string{fmt.Sprintf("{file.%s}", path)}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := set.require(provider(t, "standard").CheckSecret); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	for i, step := range []struct{ text, live string }{{"whsec_not-base64!", good}, {better, better}} {
		write(step.text, time.Duration(30-i)*time.Minute)
		at = at.Add(2 * secretFileCheck)
		if live := set.get(at); len(live) != 1 || string(live[0].Bytes()) != step.live {
			t.Errorf("step %d: another secret is live", i)
		}
	}
}
