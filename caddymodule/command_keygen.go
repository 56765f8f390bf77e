package caddymodule

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

func init() { verbs = append(verbs, keygenCommand) }

// signingSecretBytes is the length of a shared secret; Standard Webhooks asks for 24 to 64.
const signingSecretBytes = 32

// signingKeys is a new secret, or a new pair of keys, as Standard Webhooks writes them.
type signingKeys struct {
	Secret     string `json:"secret,omitempty"`      // whsec_: both sides know it
	PrivateKey string `json:"private_key,omitempty"` // whsk_: only the gateway has it
	PublicKey  string `json:"public_key,omitempty"`  // whpk_: the application verifies with it
}

func newSigningSecret() (signingKeys, error) {
	raw := make([]byte, signingSecretBytes)
	if _, err := rand.Read(raw); err != nil {
		return signingKeys{}, fmt.Errorf("random numbers: %w", err)
	}
	return signingKeys{Secret: "whsec_" + base64.StdEncoding.EncodeToString(raw)}, nil
}

func newSigningPair() (signingKeys, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return signingKeys{}, fmt.Errorf("random numbers: %w", err)
	}
	return signingKeys{
		PrivateKey: "whsk_" + base64.StdEncoding.EncodeToString(private), PublicKey: "whpk_" + base64.StdEncoding.EncodeToString(public),
	}, nil
}

func keygenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keygen [--ed25519]", Short: "Makes a secret to sign forwarded events with", Args: cobra.NoArgs,
		Long: `Makes a secret for a destination's "sign standard": whsec_... for the application to share or, with --ed25519, a pair of keys of which the application
gets the public one (whpk_...) and cannot sign. Nothing is stored, and no running Caddy is needed.

A file that it is written to should be for the user that Caddy runs as and for nobody else: hence the umask.`,
		Example: `  (umask 077; caddy webhooks keygen > billing_secret) && chown caddy: billing_secret   # sign standard {file./etc/caddy/billing_secret}`,
	}
	outputFlags(cmd)
	pair := cmd.Flags().Bool("ed25519", false, "Make a pair of keys instead of a shared secret")
	cmd.RunE = runVerb(func(cmd *cobra.Command, _ []string) error {
		generate := newSigningSecret
		if *pair {
			generate = newSigningPair
		}
		keys, err := generate()
		if err != nil {
			return err
		}
		raw, err := json.Marshal(keys)
		if err != nil {
			return err
		}
		s := newScreen(cmd.OutOrStdout())
		return showOr(cmd, s, raw, func() {
			if !*pair {
				s.printf("%s\n", keys.Secret)
				return
			}
			s.printf("private %s\npublic  %s\n", keys.PrivateKey, keys.PublicKey)
		})
	})
	return cmd
}
