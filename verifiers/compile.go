package verifiers

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// parseExpr parses an expression of a field and checks that the params it reads are declared. An empty text gives nil, which evaluates to nothing.
func (p *Provider) parseExpr(field, text string) (*Expr, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // a nil expression has no value, by design
	}
	e, err := ParseExpr(text)
	if err != nil {
		return nil, fieldError(field, "%w", err)
	}
	for _, terms := range e.alternatives {
		for _, t := range terms {
			if t.source.place == placeParam && !p.declares(t.source.name) {
				return nil, fieldError(field, "param %q is not declared in params", t.source.name)
			}
		}
	}
	return &e, nil
}

// parseTemplate does the same for a template.
func (p *Provider) parseTemplate(field, text string) (*Template, error) {
	t, err := ParseTemplate(text)
	if err != nil {
		return nil, fieldError(field, "%w", err)
	}
	t.each(placeParam, func(name string) {
		if !p.declares(name) {
			err = fieldError(field, "param %q is not declared in params", name)
		}
	})
	return t, err
}

func (p *Provider) declares(param string) bool {
	return slices.ContainsFunc(p.spec.Params, func(q Param) bool { return q.Name == param })
}

// compileParams resolves the values of params.
func (p *Provider) compileParams() error {
	p.params = make(map[string]string, len(p.spec.Params))
	for _, q := range p.spec.Params {
		v := p.spec.Values[q.Name]
		if v == "" {
			v = q.Default
		}
		if v == "" && q.Required {
			return fieldError("values."+q.Name, "is required: %s", q.Doc)
		}
		p.params[q.Name] = v
	}
	for name := range p.spec.Values {
		if !p.declares(name) {
			return fieldError("values."+name, "is not a param of %s: expected %s", p.spec.ID, paramNames(p.spec.Params))
		}
	}
	return nil
}

// param is the present value of a param; the empty string if it has none.
func (p *Provider) param(name string) string {
	if p.present != nil {
		if value, ok := p.present(name); ok {
			return value
		}
	}
	return p.params[name]
}

func paramNames(params []Param) string {
	if len(params) == 0 {
		return "none"
	}
	var out []string
	for _, q := range params {
		out = append(out, q.Name)
	}
	return strings.Join(out, ", ")
}

// compileAnswers checks statuses, methods and handshakes.
func (p *Provider) compileAnswers() error {
	s := p.spec
	if a := s.Ack.Status; a != 0 && (a < 200 || a > 299) {
		return fieldError("ack.status", "%d is not a success: expected 200 to 299", a)
	}
	if s.Ack.Empty && s.Ack.Body != "" {
		return fieldError("ack.body", "the provider takes a body for a failure: expected none")
	}
	if r := s.RefuseStatus; r != 0 && (r < 400 || r > 499) {
		return fieldError("refuse_status", "%d is not a refusal: expected 400 to 499", r)
	}
	if s.Deadline < 0 {
		return fieldError("deadline", "expected a span above zero")
	}
	if err := checkMethods("methods", s.Methods); err != nil {
		return err
	}
	for i := range s.Handshakes {
		h, err := p.compileHandshake(fmt.Sprintf("handshakes[%d]", i), &s.Handshakes[i])
		if err != nil {
			return err
		}
		p.handshakes = append(p.handshakes, h)
	}
	return nil
}

func checkMethods(field string, methods []string) error {
	known := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}
	for _, m := range methods {
		if !slices.Contains(known, m) {
			return fieldError(field, "%q is not a method: expected %s", m, strings.Join(known, ", "))
		}
	}
	return nil
}

// customSchemes are the schemes that data cannot express, by Spec.Custom.
var customSchemes = map[string]func(p *Provider) (scheme, error){}

// schemes are those that a configuration may name.
var schemes = []string{
	SchemeHMAC, SchemeConcatHash, SchemeStandard, SchemeEd25519, SchemeECDSA, SchemeRSA, SchemeRSACert, SchemeJWT, SchemeJWS, SchemeToken, SchemeBasic, SchemeNone,
}

// checkScheme comes before what depends on the scheme.
func (p *Provider) checkScheme() error {
	switch {
	case p.spec.Scheme == SchemeGuest || slices.Contains(schemes, p.spec.Scheme):
		return nil
	case p.spec.Scheme == "":
		return fieldError("scheme", "expected one of %s", strings.Join(schemes, ", "))
	}
	return fieldError("scheme", "%q is not known: expected one of %s", p.spec.Scheme, strings.Join(schemes, ", "))
}

func (p *Provider) compileScheme() error {
	var err error
	if p.spec.Custom != "" {
		build, ok := customSchemes[p.spec.Custom]
		if !ok {
			return fieldError("custom", "%q is not known: expected %s", p.spec.Custom, names(customSchemes))
		}
		p.scheme, err = build(p)
		return err
	}
	content := contentScheme{p: p, sig: &p.sig, enc: p.signatureEncoding()}
	switch p.spec.Scheme {
	case SchemeHMAC:
		content.algo = hmacAlgorithm{p}
	case SchemeConcatHash:
		content.algo = concatAlgorithm{p}
	case SchemeEd25519:
		content.algo = ed25519Algorithm{p}
	case SchemeECDSA:
		content.algo = ecdsaAlgorithm{p}
	case SchemeRSA, SchemeRSACert:
		content.algo = rsaAlgorithm{p}
	case SchemeStandard:
		p.scheme, err = newStandardScheme(p)
		return err
	case SchemeToken:
		p.scheme = tokenScheme{p}
		return nil
	case SchemeBasic:
		p.scheme = basicScheme{p}
		return nil
	case SchemeNone:
		p.scheme = noneScheme{}
		return nil
	case SchemeGuest:
		if p.guest == nil {
			return fieldError("scheme", "guest: expected a verifier that is given with it")
		}
		p.scheme = guestScheme{p.guest}
		return nil
	case SchemeJWT, SchemeJWS:
		p.scheme, err = newJWTScheme(p)
		return err
	}
	if pad := p.spec.Padding; pad != "" && pad != "pkcs1v15" && pad != "pss" {
		return fieldError("padding", "%q is not known: expected pkcs1v15 or pss", pad)
	}
	if f := p.spec.Signature.ECDSA; f != "" && f != "der" && f != "p1363" {
		return fieldError("signature.ecdsa", "%q is not known: expected der or p1363", f)
	}
	if p.keySource != nil {
		p.scheme = &fetchedScheme{content}
		return nil
	}
	if p.spec.Scheme == SchemeRSACert {
		return fieldError("key_source", "expected where the certificate's address is")
	}
	p.scheme = &content
	return nil
}

// withDefaults returns a copy of spec with what its scheme lays down.
func withDefaults(spec *Spec) (*Spec, error) {
	if spec == nil {
		return nil, errors.New("spec is nil")
	}
	s := *spec
	if s.Scheme == SchemeStandard {
		standardDefaults(&s)
	}
	if len(s.Signed) == 0 {
		s.Signed = []string{"{body}"}
	}
	if len(s.Methods) == 0 {
		s.Methods = []string{http.MethodPost}
	}
	if s.Deadline == 0 {
		s.Deadline = defaultDeadline
	}
	if s.Ack.Status == 0 {
		s.Ack.Status = http.StatusOK
	}
	if s.Ack.Body != "" && s.Ack.ContentType == "" {
		s.Ack.ContentType = plainText
	}
	if s.RefuseStatus == 0 {
		s.RefuseStatus = http.StatusUnauthorized
	}
	s.Dedup.Window = s.dedupWindow()
	return &s, nil
}
