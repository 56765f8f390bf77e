package verifiers

import "slices"

// EventKey is the value of an expression that is to tell events apart, and how far it can.
type EventKey struct {
	Value  string
	Whole  bool // every place that it reads has a value
	OfBody bool // it reads the body, which is the one thing that elements of a batch do not share
}

// EventKey evaluates e as the key of an event.
func (e Expr) EventKey(r *Request) EventKey {
	a := newAttempt(nil, r)
	defer a.release()
	for _, terms := range e.alternatives {
		if v := evalTerms(terms, a); v != "" {
			return EventKey{Value: v, Whole: len(terms) == 1 || allValues(terms, a), OfBody: slices.ContainsFunc(terms, term.readsBody)}
		}
	}
	return EventKey{}
}

// evalWhole is eval, but a composite counts only if each of its places has a value.
func (e *Expr) evalWhole(a *attempt) string {
	for _, terms := range e.alternatives {
		if allValues(terms, a) {
			return evalTerms(terms, a)
		}
	}
	return ""
}

func allValues(terms []term, a *attempt) bool {
	for i := range terms {
		if terms[i].value(a) == "" {
			return false
		}
	}
	return true
}

// With returns the key's value with another value, in a form that no expression makes of two others.
func (k EventKey) With(other string) string {
	return k.Value + "|" + compositeEscaper.Replace(other)
}

// Distinguishes tells whether e can tell requests to one source apart, whichever of its alternatives counts: some have the same value for all of them.
func (e Expr) Distinguishes() bool {
	for _, terms := range e.alternatives {
		if !slices.ContainsFunc(terms, term.varies) {
			return false
		}
	}
	return true
}

func (t term) readsBody() bool {
	switch t.source.place {
	case placeJSON, placeBody, placeRaw:
		return true
	}
	return false
}

// readsElement tells whether e, whichever of its alternatives counts, reads the element of a batch and not only the request.
func (e *Expr) readsElement() bool {
	of := func(t term) bool { return t.source.place == placeJSON || t.source.place == placeBody }
	return !slices.ContainsFunc(e.alternatives, func(terms []term) bool { return !slices.ContainsFunc(terms, of) })
}

// varies tells whether a term has other values for other requests; those that only a Provider has are empty for all.
func (t term) varies() bool {
	switch t.source.place {
	case placeLiteral, placeParam, placeSource, placeMethod, placeHost, placeContentType, placeTimestamp, placeID, placeKeyID, placeSecret, placeSecretID:
		return false
	}
	return true
}
