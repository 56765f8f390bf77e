package verifiers

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// contentScheme verifies signatures over signed content: everything but tokens and JWT.
type contentScheme struct {
	p    *Provider
	sig  *sigReader
	enc  string
	algo contentAlgorithm
	// takes tells whether a secret belongs to this algorithm; nil: all do.
	takes func(s Secret) bool
}

// contentAlgorithm is what differs between the schemes.
type contentAlgorithm interface {
	// match returns which of a.sigs fits the content that t makes of a with k, or -1.
	match(a *attempt, t *Template, k *key) int
	// sign returns the signature of that content, or ErrCannotSign.
	sign(a *attempt, t *Template, k *key) ([]byte, error)
}

// contentPlaces are those of which a template must read at least one to be about the request at all.
var contentPlaces = []place{placeBody, placeRaw, placeJSON, placeForm, placeFormSorted, placeURL, placeQuery, placeQuerySorted, placeQueryEncoded, placeTarget, placeCanonical}

func (p *Provider) compileContent() error {
	if slices.Contains([]string{SchemeNone, SchemeBasic, SchemeToken, SchemeJWT, SchemeGuest}, p.spec.Scheme) {
		return nil
	}
	for i, text := range p.spec.Signed {
		field := fmt.Sprintf("signed[%d]", i)
		t, err := p.parseTemplate(field, text)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(contentPlaces, t.uses) {
			return fieldError(field, "%q covers nothing of the request: expected {body} or parts of it", text)
		}
		if t.uses(placeTimestamp) && !p.hasTimestamp() {
			return fieldError(field, "{timestamp}: expected timestamp, or {timestamp} in format, to say where it is")
		}
		if t.uses(placeID) && p.spec.MessageID == "" {
			return fieldError(field, "{id}: expected message_id to say where it is")
		}
		if p.spec.Scheme == SchemeConcatHash && !t.uses(placeSecret) {
			return fieldError(field, "%q: expected {secret} in it, for concat_hash signs with nothing else", text)
		}
		p.content = append(p.content, t)
	}
	if p.spec.MessageID != "" {
		var err error
		if p.messageID, err = p.parseExpr("message_id", p.spec.MessageID); err != nil {
			return err
		}
	}
	for _, v := range p.spec.URLVariants {
		if _, ok := urlVariants[v]; !ok {
			return fieldError("url_variants", "%q is not known: expected %s", v, names(urlVariants))
		}
	}
	return nil
}

func (s *contentScheme) verify(_ context.Context, a *attempt, secrets []Secret) (Proof, error) {
	if err := s.prepare(a); err != nil {
		return Proof{}, err
	}
	return s.try(a, func(f func(int, *key) bool) {
		s.p.usable(secrets, s.p.keyID.eval(a), func(i int, k *key) bool {
			if s.takes != nil && !s.takes(secrets[i]) {
				return false
			}
			return f(i, k)
		})
	})
}

// try looks for a key, a template and a variant that fit. keys calls its argument with each key until that returns true.
func (s *contentScheme) try(a *attempt, keys func(func(int, *key) bool)) (Proof, error) {
	var proof Proof
	matched := -1
	search := func() bool {
		keys(func(i int, k *key) bool {
			a.key = k
			for _, t := range s.p.content {
				if matched = s.algo.match(a, t, k); matched >= 0 {
					proof.SecretIndex, a.content = i, t
					return true
				}
			}
			return false
		})
		return matched >= 0
	}
	if !search() && !s.p.variants(a, search) {
		return Proof{}, fmt.Errorf("%w with any of the secrets", ErrMismatch)
	}
	if ts := a.sigs[matched].timestamp; ts != "" {
		var err error
		if proof.SignedAt, err = parseTime(s.p.ts.unit, ts); err != nil {
			return Proof{}, err
		}
	}
	return proof, nil
}

// prepare reads signatures, timestamp and message id.
func (s *contentScheme) prepare(a *attempt) error {
	if err := s.sig.read(a); err != nil {
		return err
	}
	if err := s.sig.decode(a, s.enc); err != nil {
		return err
	}
	ts, err := s.p.ts.read(a)
	if err != nil {
		return err
	}
	last := ""
	for i := range a.sigs {
		item := &a.sigs[i]
		if ts != "" {
			item.timestamp = ts
		}
		if item.timestamp == "" && s.p.hasTimestamp() && !s.p.spec.Timestamp.Optional {
			return fmt.Errorf("%w: timestamp", ErrUnsigned)
		}
		if item.timestamp == "" || item.timestamp == last {
			continue
		}
		if _, err := parseTime(s.p.ts.unit, item.timestamp); err != nil {
			return err
		}
		last = item.timestamp
	}
	if s.p.messageID == nil {
		return nil
	}
	if name := s.p.messageID.repeatedHeader(a); name != "" {
		return fmt.Errorf("%w: %s occurs several times", ErrMalformed, name)
	}
	if a.id = s.p.messageID.eval(a); a.id == "" && s.p.usesContent(placeID) {
		return fmt.Errorf("%w: message id", ErrUnsigned)
	}
	return nil
}

// usesContent tells whether any of the templates reads from pl.
func (p *Provider) usesContent(pl place) bool {
	return slices.ContainsFunc(p.content, func(t *Template) bool { return t.uses(pl) })
}

// skip tells that a signature cannot be k's.
func (item *sigItem) skip(k *key) bool {
	return item.from < 0 || (item.keyID != "" && k.id != "" && item.keyID != k.id)
}

// urlVariants are other spellings of an address; they return the empty string where they change nothing.
var urlVariants = map[string]func(u url.URL) string{
	"port": func(u url.URL) string {
		if u.Port() != "" {
			return ""
		}
		u.Host += map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
		return u.String()
	},
	"no_port": func(u url.URL) string {
		if u.Port() == "" {
			return ""
		}
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
		return u.String()
	},
	"delimiters_decoded": func(u url.URL) string { return decodeDelimiters.Replace(u.String()) },
	"decoded":            func(u url.URL) string { s, err := url.PathUnescape(u.String()); return onlyIf(err == nil, s) },
	"encoded": func(u url.URL) string {
		query, err := url.ParseQuery(u.RawQuery)
		u.RawQuery = query.Encode()
		return onlyIf(err == nil, u.String()) // not without what cannot be read: it would pass as signed
	},
	"no_query": func(u url.URL) string {
		u.RawQuery, u.ForceQuery = "", false
		return u.String()
	},
	"slash":    func(u url.URL) string { u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+"/", ""; return u.String() },
	"no_slash": func(u url.URL) string { u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), ""; return u.String() },
	"http":     func(u url.URL) string { u.Scheme = "http"; return u.String() },
	"https":    func(u url.URL) string { u.Scheme = "https"; return u.String() },
}

// decodeDelimiters undoes the escapes that HubSpot undoes before it signs, and no others.
var decodeDelimiters = strings.NewReplacer(
	"%3A", ":", "%2F", "/", "%3F", "?", "%40", "@", "%21", "!", "%24", "$", "%27", "'", "%28", "(", "%29", ")", "%2A", "*", "%2C", ",", "%3B", ";",
	"%3a", ":", "%2f", "/", "%3f", "?", "%2a", "*", "%2c", ",", "%3b", ";",
)

func onlyIf(ok bool, s string) string {
	if ok {
		return s
	}
	return ""
}

// variants calls search for each other spelling of body and address that the provider is known to sign.
func (p *Provider) variants(a *attempt, search func() bool) bool {
	if p.spec.BodyASCIIEscape {
		if body, ok := escapeNonASCII(a.r.Body); ok {
			a.body = body
			if search() {
				return true
			}
			a.body = a.r.Body
		}
	}
	if a.r.URL == nil {
		return false
	}
	for _, v := range p.spec.URLVariants {
		if a.url = urlVariants[v](*a.r.URL); a.url != "" && search() {
			return true
		}
	}
	a.url = ""
	return false
}

// escapeNonASCII writes every character beyond ASCII as \uXXXX in lower case, as several JSON libraries do. ok is false if there is none.
func escapeNonASCII(body []byte) (out []byte, ok bool) {
	i := slices.IndexFunc(body, func(b byte) bool { return b >= utf8.RuneSelf })
	if i < 0 || !utf8.Valid(body) {
		return nil, false
	}
	out = append(make([]byte, 0, len(body)+len(body)/2), body[:i]...)
	for _, r := range string(body[i:]) {
		switch {
		case r < utf8.RuneSelf:
			out = append(out, byte(r))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out, true
}
