package verifiers

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// sign writes timestamp and id where they are read from, then the signature of the template that fits the request.
func (s *contentScheme) sign(a *attempt, secret Secret) error {
	k, err := s.p.key(secret)
	if err != nil {
		return err
	}
	if err := s.p.writeSigningValues(a, k); err != nil {
		return err
	}
	a.key, a.body, a.form, a.query = k, a.r.Body, nil, nil
	if len(s.p.content) == 0 {
		return fmt.Errorf("%w: the signed content is not known", ErrCannotSign)
	}
	sig, err := s.algo.sign(a, s.p.contentOf(a), k)
	if err != nil {
		return err
	}
	return s.sig.write(a, encodeSignature(s.enc, s.p.spec.Signature.Upper, sig), a.timestamp, k.id)
}

// contentOf is what the signature of a request covers: the first template that fits, else the first.
func (p *Provider) contentOf(a *attempt) *Template {
	if len(p.content) > 1 {
		for _, t := range p.content {
			if t.fits(a) {
				return t
			}
		}
	}
	return p.content[0]
}

// fits tells whether a request is of the kind that t is signed of: all that t names outside of sections is there, and something that t covers is.
func (t *Template) fits(a *attempt) bool {
	covers := false
	for i := range t.parts {
		p := &t.parts[i]
		switch {
		case p.sources == nil: // literal text is the same for all requests
		case p.value(a) != "" && !p.misread(a):
			covers = true
		case p.section == nil && slices.ContainsFunc(p.sources, source.named):
			return false
		}
	}
	return covers
}

// named tells whether the source is one value of a request, which some requests have and others have not.
func (s source) named() bool {
	return s.place == placeHeader || s.place == placeJSON || s.place == placeQuery || s.place == placeForm
}

// misread tells that what is read as a form's field only looks like one: text inside of JSON.
func (p *part) misread(a *attempt) bool {
	return slices.ContainsFunc(p.sources, func(s source) bool { return s.place == placeForm }) && looksLikeJSON(a.r.Body)
}

// writeSigningValues puts time, message id and key id into the request.
func (p *Provider) writeSigningValues(a *attempt, k *key) error {
	if p.hasTimestamp() {
		a.timestamp = formatTime(p.ts.unit, a.at)
		if err := p.writeTimestamp(a); err != nil {
			return err
		}
	}
	also := func(rank int) bool { return p.ranked(a, rank) }
	if a.id != "" && p.messageID != nil {
		if err := p.messageID.write(a, a.id, also); err != nil {
			return err
		}
	} else if p.messageID != nil {
		a.id = p.messageID.eval(a)
	}
	if k.id != "" && p.keyID != nil {
		return p.keyID.write(a, k.id, also)
	}
	return nil
}

// writeTimestamp writes the time of signing where it is read, under the other names that the request has for it, and where it must say the same.
func (p *Provider) writeTimestamp(a *attempt) error {
	for i, s := range p.ts.places {
		if i > 0 && (s.value(a) == "" || !p.ranked(a, i)) {
			continue
		}
		if err := writeValue(a.r, s.place, s.name, a.timestamp); err != nil {
			return err
		}
	}
	for i := range p.checks {
		copied, ok := p.checks[i].expr.plain()
		if of, is := p.checks[i].equals.plain(); !ok || !is || !slices.Contains(p.ts.places, of) || copied.value(a) == "" {
			continue
		}
		if err := writeValue(a.r, copied.place, copied.name, a.timestamp); err != nil {
			return err
		}
	}
	return nil
}

// ranked tells whether an id or time at a rank of several names goes with a signature of the request: beside one of another name it is somebody else's.
func (p *Provider) ranked(a *attempt, rank int) bool {
	return len(p.sig.names) <= rank || p.sig.carries(a, p.sig.names[rank])
}

// carries tells whether the request has a signature under a name, as it came.
func (s *sigReader) carries(a *attempt, name string) bool {
	return s.place != placeExpr && len(s.values(a, name)) > 0
}

// write puts a signature into a request: under the first of its names, and under each other one that the request has, for some applications look there
// first. Signatures of an older kind are taken away, for they are still those of the provider.
func (s *sigReader) write(a *attempt, signature, timestamp, keyID string) error {
	if field := s.spec.JSONField; field != "" {
		envelope, err := json.Marshal(map[string]string{field: signature})
		if err != nil {
			return fmt.Errorf("%w: the signature's envelope: %w", ErrCannotSign, err)
		}
		signature = base64.StdEncoding.EncodeToString(envelope)
	}
	if s.spec.Percent {
		signature = url.QueryEscape(signature)
	}
	v := s.format.write(signature, timestamp, keyID)
	if s.place == placeRaw || s.place == placeLastPath {
		return writeValue(a.r, s.place, "", v)
	}
	var failed error
	written := false
	for _, name := range s.names {
		if written && !s.carries(a, name) {
			continue
		}
		err := s.writeUnder(a, name, v)
		written = written || err == nil
		failed = cmp.Or(failed, err)
	}
	if !written {
		return failed
	}
	if s.place == placeHeader {
		for _, name := range s.spec.Legacy {
			a.r.Header.Del(name)
		}
	}
	return nil
}

// writeUnder puts a signature under one of its names.
func (s *sigReader) writeUnder(a *attempt, name, v string) error {
	if s.place != placeExpr {
		return writeValue(a.r, s.place, name, v)
	}
	if strings.Contains(name, ">json:") {
		return writeNested(a.r, name, v)
	}
	return s.exprs[name].write(a, v, func(int) bool { return false })
}
