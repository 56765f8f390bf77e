package demo

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
)

// secrets are made anew for each demo and given to the gateway as files, so that neither its configuration nor its log can show them.
type secrets struct {
	dir string

	heyvisa       string // each provider's
	legaltalent   string
	scanDocuments string
	verifeye      string // tokens in the address
	vericato      string
	onboarding    string // with which the gateway signs for the applications
	visaDesk      string
	apiKey        string // of VerifEye's result API, as the whole value of the header
}

func newSecrets(dir string) (*secrets, error) {
	s := &secrets{
		dir: dir, heyvisa: "hv_" + rand.Text(), legaltalent: "lt_" + rand.Text(), scanDocuments: "whsec_" + randomBase64(),
		verifeye: rand.Text(), vericato: rand.Text(), onboarding: "whsec_" + randomBase64(), visaDesk: "hv_" + rand.Text(), apiKey: "ApiKey " + rand.Text(),
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of secrets: %w", err)
	}
	for name, value := range map[string]string{
		"heyvisa": s.heyvisa, "legaltalent_kyc": s.legaltalent, "scan_documents": s.scanDocuments, "verifeye": s.verifeye, "vericato": s.vericato,
		"onboarding": s.onboarding, "visa_desk": s.visaDesk, "verifeye_api_key": s.apiKey,
	} {
		if err := os.WriteFile(s.file(name), []byte(value+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("writing a secret: %w", err)
		}
	}
	return s, nil
}

func randomBase64() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return base64.StdEncoding.EncodeToString(key)
}

func (s *secrets) file(name string) string { return filepath.Join(s.dir, name) }

// placeholder is how the configuration names a secret.
func (s *secrets) placeholder(name string) string {
	return "{file." + filepath.ToSlash(s.file(name)) + "}"
}
