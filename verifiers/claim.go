package verifiers

import "slices"

// dedupKey is the key of an event: the one that is laid down, else its id.
func (p *Provider) dedupKey(a *attempt, e *eventExprs, id string) string {
	if p.spec.Dedup.Whole && e.dedup != nil {
		return bounded(e.dedup.evalWhole(a))
	}
	if key := bounded(e.dedup.eval(a)); key != "" {
		return key
	}
	return p.idKey(a, e.id, id)
}

// idKey is the key of an event for which none is laid down: its id. One that stands where nothing is signed is no more than a claim: whoever has a single genuine
// body could send it under the ids of other events, which would be taken for its duplicates and never be stored. So such a key says what the body is as well.
func (p *Provider) idKey(a *attempt, id *Expr, value string) string {
	if !p.bindsBody() || !p.readsUnsigned(a, id) {
		return value
	}
	return bounded(value + "|" + a.bodyHash())
}

// bindsBody tells whether a signature belongs to one body, which the provider's retries repeat. Who has a token may send any body; one that says when it was sent
// is another each time.
func (p *Provider) bindsBody() bool {
	switch p.spec.Scheme {
	case SchemeNone, SchemeToken, SchemeBasic, SchemeGuest:
		return false
	case SchemeJWT:
		return p.spec.JWT.BodyHash != ""
	}
	return p.ts.in != "json" && p.ts.in != "form" || p.spec.Timestamp.Meaning == "event"
}

// readsUnsigned tells whether the value of an expression comes from where nothing is signed, at least in part.
func (p *Provider) readsUnsigned(a *attempt, e *Expr) bool {
	if e == nil {
		return false
	}
	for _, terms := range e.alternatives {
		if evalTerms(terms, a) != "" {
			covers := slices.ContainsFunc(terms, func(t term) bool { return t.source.place == placeBody })
			return !covers && slices.ContainsFunc(terms, func(t term) bool { return !p.signs(a, t.source) })
		}
	}
	return false
}

// queryPlaces are those of signed content that cover the query.
var queryPlaces = []place{placeURL, placeTarget, placeRawQuery, placeQuerySorted, placeQueryEncoded, placeCanonical}

// signs tells whether the signature covers what a source reads.
func (p *Provider) signs(a *attempt, s source) bool {
	switch s.place {
	case placeHeader:
		token := p.spec.Scheme == SchemeJWT || p.spec.Scheme == SchemeJWS
		return token && p.sig.place == placeHeader && slices.Contains(p.sig.names, s.name) ||
			p.usesContent(placeID) && a.header(s.name) == a.id ||
			p.usesContent(placeTimestamp) && slices.Contains(p.ts.places, s) || p.contentReads(s)
	case placeQuery, placeRawQuery:
		return slices.ContainsFunc(queryPlaces, p.usesContent) || p.contentReads(s)
	default:
		return true
	}
}

// contentReads tells whether any of the templates reads exactly this.
func (p *Provider) contentReads(s source) bool {
	return slices.ContainsFunc(p.content, func(t *Template) bool { return t.reads(s) })
}

// DedupsByBody tells whether an event may be told by its body as well as by its id, because that is not signed.
func (p *Provider) DedupsByBody() bool {
	id := p.event.id
	if p.spec.Dedup.Key != "" || id == nil || !p.bindsBody() {
		return false
	}
	a := newAttempt(p, &Request{})
	defer a.release()
	for _, terms := range id.alternatives {
		if slices.ContainsFunc(terms, func(t term) bool { return t.source.place == placeBody }) {
			continue
		}
		for _, t := range terms {
			a.id = "the message id"
			if p.messageID != nil && slices.ContainsFunc(p.messageID.alternatives, func(m []term) bool { return m[0].source == t.source }) {
				continue
			}
			if !p.signs(a, t.source) {
				return true
			}
		}
	}
	return false
}
