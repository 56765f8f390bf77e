package verifiers

import "time"

const (
	defaultDeadline    = Duration(10 * time.Second)
	defaultDedupWindow = Duration(72 * time.Hour)
	shortestDedup      = Duration(24 * time.Hour)
	plainText          = "text/plain; charset=utf-8"
)

// dedupWindow is for how long an event's key must be remembered: as long as the provider retries, where that is known.
func (s *Spec) dedupWindow() Duration {
	switch {
	case s.Dedup.Window != 0:
		return s.Dedup.Window
	case s.RetryHorizon < shortestDedup:
		return defaultDedupWindow
	}
	return s.RetryHorizon
}

// Needs says what a configuration must give for s to be of use.
func (s *Spec) Needs() Needs {
	n := Needs{Unsigned: s.Scheme == SchemeNone, KeyFetcher: s.KeySource != nil || (s.JWT != nil && len(s.JWT.JKU) > 0)}
	if !n.Unsigned {
		n.Secret = s.secretKind()
		n.KeyAddress = s.keyAddressParam()
		n.SecretOptional = n.KeyFetcher && n.KeyAddress == "" || (s.JWT != nil && s.JWT.X5C != nil && s.JWT.X5C.Root != "")
	}
	for _, h := range s.Handshakes {
		n.SecretByHandshake = n.SecretByHandshake || h.StoreSecret != "" || h.Surface != ""
	}
	for _, p := range s.Params {
		if p.Required && p.Default == "" {
			n.Params = append(n.Params, p)
		}
	}
	for _, text := range s.Signed {
		if t, err := ParseTemplate(text); err == nil && (t.uses(placeURL) || t.uses(placePath) || t.uses(placeTarget) || t.uses(placeHost)) {
			n.PublicURL = true
		}
	}
	return n
}

func (s *Spec) secretKind() string {
	if s.Key.Kind != "" {
		return s.Key.Kind
	}
	switch s.Scheme {
	case SchemeGuest:
		return ""
	case SchemeEd25519, SchemeECDSA, SchemeRSA, SchemeRSACert:
		return "public key"
	case SchemeToken:
		return "token"
	case SchemeBasic:
		return "user:password"
	}
	return "signing secret"
}

// Redacted returns a copy of s without what may be secret: the values of secret params.
func (s *Spec) Redacted() *Spec {
	out := *s
	if len(s.Values) > 0 {
		out.Values = make(map[string]string, len(s.Values))
		for name, v := range s.Values {
			out.Values[name] = v
			for _, p := range s.Params {
				if p.Name == name && p.Secret {
					out.Values[name] = "[secret]"
				}
			}
		}
	}
	return &out
}
