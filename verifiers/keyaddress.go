package verifiers

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// checkFixed checks an address that does not depend on the request. The operator chose it, so it may have any port.
func (s *keySource) checkFixed() error {
	if !s.url.fixed() {
		return nil
	}
	if s.unnamed = s.p.spec.keyAddressParam(); s.unnamed != "" {
		return nil
	}
	a := newAttempt(s.p, &Request{})
	defer a.release()
	text := s.url.string(a)
	field := "key_source.url"
	s.url.each(placeParam, func(name string) { field = "values." + name })
	if err := checkKeyAddress(text); err != nil {
		return fieldError(field, "%w", err)
	}
	if u, _ := url.Parse(text); len(s.hosts) > 0 && !allowedHost(s.hosts, a, u.Hostname()) {
		return fieldError(field, "keys do not come from host %q: expected one of %s", u.Hostname(), strings.Join(s.spec.Hosts, ", "))
	}
	return nil
}

// checkKeyAddress says what is wrong with an address that is written in a configuration. The address may hold a password and is not repeated.
func checkKeyAddress(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		return errors.New("expected an address such as https://idp.example.com/keys")
	case u.Scheme != "https":
		return fmt.Errorf("keys are not fetched with %s: expected an address that begins with https://", u.Scheme)
	case u.User != nil:
		return errors.New("expected an address without user and password")
	}
	return nil
}

// keyAddressParam names the param whose value is missing from the address of published keys: without it only configured keys verify. Empty if none is.
func (s *Spec) keyAddressParam() string {
	if s.KeySource == nil {
		return ""
	}
	t, err := ParseTemplate(s.KeySource.URL)
	if err != nil {
		return ""
	}
	missing := ""
	t.each(placeParam, func(name string) {
		for _, p := range s.Params {
			if p.Name == name && !p.Required && p.Default == "" && s.Values[name] == "" {
				missing = name
			}
		}
	})
	return missing
}

// publicHTTPS tells whether an address that a request names may be fetched at all: https on its own port, without credentials.
func publicHTTPS(u *url.URL) bool {
	return u.Scheme == "https" && u.User == nil && u.Hostname() != "" && (u.Port() == "" || u.Port() == "443")
}

// address makes the address for a request and checks it, if the request has a say in it.
func (s *keySource) address(a *attempt) (string, error) {
	text := s.url.string(a)
	if s.url.fixed() {
		if s.unnamed != "" {
			return "", fmt.Errorf("%w: param %s, which says where they are, is not set", ErrKeysUnavailable, s.unnamed)
		}
		return text, nil
	}
	if text == "" {
		return "", fmt.Errorf("%w: address of the key", ErrUnsigned)
	}
	u, err := url.Parse(text)
	if err != nil || len(text) > maxSignatureValue || !publicHTTPS(u) || !allowedHost(s.hosts, a, u.Hostname()) ||
		!strings.HasPrefix(u.EscapedPath(), s.spec.PathPrefix) || !strings.HasSuffix(u.EscapedPath(), s.spec.PathSuffix) ||
		slices.Contains(strings.Split(u.Path, "/"), "..") || !plainAddress(u) {
		return "", fmt.Errorf("%w: address of the key is not the provider's", ErrMismatch)
	}
	return u.String(), nil
}

// plainAddress brings an address that a sender may have made up into its one spelling, and refuses what makes others of it: each would be fetched and kept for itself.
func plainAddress(u *url.URL) bool {
	u.Host = strings.ToLower(u.Hostname())
	return u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && !strings.Contains(u.EscapedPath(), "%")
}
