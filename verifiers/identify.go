package verifiers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// eventExprs is a compiled Event with its dedup key.
type eventExprs struct {
	id, kind, time, subject, dedup *Expr
	unit                           string
	defaultType                    string
}

const defaultBatchMax = 10000

var bodyKinds = map[string]func([]byte) bool{
	"json":  ValidJSON,
	"form":  readableForm,
	"xml":   readableXML,
	"jwt":   func(b []byte) bool { return bytes.Count(bytes.TrimSpace(b), []byte(".")) == 2 },
	"text":  func([]byte) bool { return true },
	"empty": func(b []byte) bool { return len(b) == 0 },
}

func readableForm(b []byte) bool {
	if bytes.HasPrefix(b, []byte("--")) {
		return true // multipart: its fields are read where they are asked for
	}
	_, err := url.ParseQuery(string(b))
	return err == nil && bytes.IndexByte(b, '=') > 0
}

func readableXML(b []byte) bool {
	dec := xml.NewDecoder(bytes.NewReader(b))
	elements := 0
	for {
		tok, err := dec.RawToken()
		if err != nil {
			return err == io.EOF && elements > 0 //nolint:errorlint // the decoder returns io.EOF as it is
		}
		if _, ok := tok.(xml.StartElement); ok {
			elements++
		}
	}
}

func (p *Provider) compileEvent() error {
	for _, kind := range p.spec.Body {
		if bodyKinds[kind] == nil {
			return fieldError("body", "%q is not known: expected %s", kind, names(bodyKinds))
		}
	}
	var err error
	if p.event, err = p.parseEvent("event", p.spec.Event, "dedup.key", p.spec.Dedup.Key); err != nil {
		return err
	}
	if p.event.dedup == nil && p.spec.Dedup.Whole {
		return fieldError("dedup.whole", "expected a key that it is about")
	}
	b := p.spec.Batch
	if b == nil {
		return nil
	}
	if b.Elements == "" {
		return fieldError("batch.elements", "expected the JSON path of the array, @this if the body is the array")
	}
	if p.element, err = p.parseEvent("batch.event", b.Event, "batch.dedup", b.Dedup); err != nil {
		return err
	}
	p.element.inherit(p.event)
	p.batchText, err = p.parseExpr("batch.from", b.From)
	return err
}

func (p *Provider) parseEvent(field string, e Event, dedupField, dedup string) (eventExprs, error) {
	out := eventExprs{unit: e.TimeUnit, defaultType: e.DefaultType}
	if out.unit != "" && !units[out.unit] {
		return out, fieldError(field+".time_unit", "%q is not known: expected %s", e.TimeUnit, names(units))
	}
	for _, f := range []struct {
		name, text string
		to         **Expr
	}{
		{field + ".id", e.ID, &out.id}, {field + ".type", e.Type, &out.kind}, {field + ".time", e.Time, &out.time},
		{field + ".subject", e.Subject, &out.subject}, {dedupField, dedup, &out.dedup},
	} {
		var err error
		if *f.to, err = p.parseExpr(f.name, f.text); err != nil {
			return out, err
		}
	}
	return out, nil
}

// inherit takes from the request's expressions what the element's own leave open; the id only if it reads the element, else all would have the same.
func (e *eventExprs) inherit(from eventExprs) {
	if e.id == nil && from.id != nil && from.id.readsElement() {
		e.id = from.id
	}
	if e.kind == nil {
		e.kind = from.kind
	}
	if e.time == nil {
		e.time, e.unit = from.time, from.unit
	}
	if e.subject == nil {
		e.subject = from.subject
	}
	if e.defaultType == "" {
		e.defaultType = from.defaultType
	}
}

// Identify names the events of a genuine request: one, or with split one per element of a batch, in order. A batch without elements has no events.
// Errors wrap ErrUnreadable.
func (p *Provider) Identify(r *Request, split bool) ([]Identity, error) {
	if len(p.spec.Body) > 0 && !slices.ContainsFunc(p.spec.Body, func(kind string) bool { return bodyKinds[kind](r.Body) }) {
		return nil, fmt.Errorf("%w: expected %s", ErrUnreadable, strings.Join(p.spec.Body, " or "))
	}
	a := newAttempt(p, r)
	defer a.release()
	a.id = p.messageID.eval(a)
	for i := range p.checks {
		if c := &p.checks[i]; c.spec.Unreadable && !c.holds(a, nil) {
			return nil, fmt.Errorf("%w: check of %s", ErrUnreadable, c.spec.Expr)
		}
	}
	if !split || p.spec.Batch == nil {
		return []Identity{p.event.identity(a)}, nil
	}
	return p.identifyElements(a)
}

func (p *Provider) identifyElements(a *attempt) ([]Identity, error) {
	limit := p.spec.Batch.Max
	if limit == 0 {
		limit = defaultBatchMax
	}
	text := a.r.Body
	if p.batchText != nil {
		text = []byte(p.batchText.eval(a))
	}
	if lines := strings.HasPrefix(p.spec.Batch.Elements, ".."); !lines && !ValidJSON(text) {
		return nil, fmt.Errorf("%w: expected JSON with an array at %s", ErrUnreadable, p.spec.Batch.Elements)
	}
	array := getJSON(text, p.spec.Batch.Elements)
	if p.spec.Batch.Elements == "@this" && array.IsObject() {
		return []Identity{p.event.identity(a)}, nil
	}
	if !array.IsArray() {
		return nil, fmt.Errorf("%w: no array at %s", ErrUnreadable, p.spec.Batch.Elements)
	}
	var out []Identity
	tooMany := false
	array.ForEach(func(_, e gjson.Result) bool {
		if tooMany = len(out) == limit; tooMany {
			return false
		}
		a.element = []byte(e.Raw)
		id := p.element.identity(a)
		id.Body = a.element
		out = append(out, id)
		return true
	})
	if tooMany {
		return nil, fmt.Errorf("%w: more than %d elements", ErrUnreadable, limit)
	}
	return out, nil
}

// maxIdentityText bounds what of a request goes into keys of the store; a longer text is replaced by its hash.
const maxIdentityText = 512

func (e *eventExprs) identity(a *attempt) Identity {
	id := Identity{
		EventID: bounded(e.id.eval(a)), Type: bounded(e.kind.eval(a)), Subject: bounded(e.subject.eval(a)),
	}
	if id.EventID == "" {
		id.EventID = a.bodyHash()
	}
	id.DedupKey = a.p.dedupKey(a, e, id.EventID)
	if id.Type == "" {
		id.Type = e.defaultType
	}
	unit := e.unit
	if unit == "" {
		unit = "auto"
	}
	if text := e.time.eval(a); text != "" {
		id.Time = eventTime(unit, text)
	}
	return id
}

func bounded(s string) string {
	if len(s) <= maxIdentityText {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// eventTime reads an event's time as well as it can: it is for people, and nothing hangs on it. Zero if it cannot be read.
func eventTime(unit, text string) time.Time {
	if unit != "auto" {
		if t, err := parseTime(unit, text); err == nil {
			return t.UTC()
		}
	}
	if seconds, _, ok := strings.Cut(text, "."); ok && strings.Trim(seconds, "0123456789") == "" {
		text = seconds // a number with a fraction
	}
	if len(text) > len(time.DateOnly) && text[len(time.DateOnly)] == ' ' && text[0] <= '9' {
		text = text[:len(time.DateOnly)] + "T" + text[len(time.DateOnly)+1:] // "2009-03-26 21:35:57"
	}
	for _, unit := range []string{"auto", "rfc3339", "rfc3339_no_zone", "http_date"} {
		if t, err := parseTime(unit, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
