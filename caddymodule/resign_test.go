package caddymodule

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
)

// TestSigningSecretForm checks that a changed file which is no key leaves the last good value to sign with.
func TestSigningSecretForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	const good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := newOutgoingSigner(&Sign{As: signStandard, Secrets: []string{"{file." + path + "}"}}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("whsec_not-base64!, and of another length"), 0o600); err != nil {
		t.Fatal(err)
	}
	if live := signer.secrets.get(time.Now().Add(time.Hour)); len(live) != 1 || string(live[0].Bytes()) != good {
		t.Error("another secret is live")
	}
}
