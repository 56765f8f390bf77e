package verifiers

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"time"
)

// tsReader is a compiled Timestamp.
type tsReader struct {
	in     string // as in the Spec
	places []source
	unit   string
	past   Duration
	future Duration
}

// defaultTolerance applies to signed times of an attempt.
const defaultTolerance = Duration(5 * time.Minute)

var units = map[string]bool{"unix": true, "unix_ms": true, "rfc3339": true, "rfc3339_no_zone": true, "http_date": true, "auto": true}

func (p *Provider) compileTimestamp() error {
	t := &p.spec.Timestamp
	p.ts = tsReader{in: t.In, unit: t.Unit}
	if t.Unit == "" {
		p.ts.unit = "unix"
	}
	if !units[p.ts.unit] {
		return fieldError("timestamp.unit", "%q is not known: expected %s", t.Unit, names(units))
	}
	if err := p.timestampPlaces(t); err != nil {
		return err
	}
	if t.Meaning != "" && t.Meaning != "attempt" && t.Meaning != "event" {
		return fieldError("timestamp.meaning", "%q is not known: expected attempt or event", t.Meaning)
	}
	signed := p.hasTimestamp() && !t.Unsigned
	set := (t.Past != nil && *t.Past >= 0) || (t.Future != nil && *t.Future >= 0)
	if set && !signed {
		return fieldError("timestamp.past", "the provider signs no timestamp, so no tolerance can apply: expected off")
	}
	p.ts.past, p.ts.future = Off, Off
	if signed && t.Meaning != "event" {
		p.ts.past = defaultTolerance
	}
	if t.Past != nil {
		p.ts.past = *t.Past
	}
	p.ts.future = p.ts.past
	if t.Future != nil {
		p.ts.future = *t.Future
	}
	return nil
}

// hasTimestamp tells whether the provider says when it signed.
func (p *Provider) hasTimestamp() bool { return p.ts.in != "" }

func (p *Provider) timestampPlaces(t *Timestamp) error {
	switch t.In {
	case "":
		if p.sig.format != nil && p.sig.format.has(fieldTimestamp) {
			p.ts.in = "signature"
		}
		return nil
	case "signature":
		if p.sig.format == nil || !p.sig.format.has(fieldTimestamp) {
			return fieldError("timestamp.in", "signature: expected {timestamp} in format")
		}
		return nil
	case "header", "query", "form", "json":
		pl := prefixedPlaces[t.In]
		for _, name := range t.Names {
			if pl == placeHeader {
				name = textproto.CanonicalMIMEHeaderKey(name)
			}
			p.ts.places = append(p.ts.places, source{place: pl, name: name})
		}
	case "claim":
		if p.spec.Scheme != SchemeJWT {
			return fieldError("timestamp.in", "claim: only the jwt scheme has claims")
		}
	default:
		return fieldError("timestamp.in", "%q is not a place: expected signature, header, query, form, json or claim", t.In)
	}
	if len(t.Names) == 0 {
		return fieldError("timestamp.names", "expected the name of the %s", t.In)
	}
	return nil
}

// read finds the text of the timestamp where it is not beside the signature.
func (t *tsReader) read(a *attempt) (string, error) {
	for _, s := range t.places {
		if s.place == placeHeader && len(a.r.Header[s.name]) > 1 {
			return "", fmt.Errorf("%w: %s occurs several times", ErrMalformed, s.name)
		}
		if v := s.value(a); v != "" {
			return v, nil
		}
	}
	return "", nil
}

// parseTime reads a timestamp. Numbers beyond any sensible year are refused, so that arithmetic with the result cannot overflow.
func parseTime(unit, v string) (time.Time, error) {
	const maxSeconds = 253402300799 // 9999-12-31
	var t time.Time
	var err error
	switch unit {
	case "rfc3339":
		t, err = time.Parse(time.RFC3339Nano, v)
	case "rfc3339_no_zone":
		t, err = time.Parse("2006-01-02T15:04:05.999999999", v)
	case "http_date":
		t, err = http.ParseTime(v)
	default:
		var n int64
		if n, err = strconv.ParseInt(v, 10, 64); err != nil || n < 0 || v[0] == '+' {
			return time.Time{}, fmt.Errorf("%w: timestamp is not %s", ErrMalformed, unit)
		}
		if unit == "unix_ms" || (unit == "auto" && n > maxSeconds/10) {
			t = time.UnixMilli(n)
		} else if n <= maxSeconds {
			t = time.Unix(n, 0)
		}
		if t.IsZero() || t.Unix() > maxSeconds {
			return time.Time{}, fmt.Errorf("%w: timestamp is out of range", ErrMalformed)
		}
		return t, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: timestamp is not %s", ErrMalformed, unit)
	}
	return t, nil
}

// formatTime writes a timestamp as the provider does.
func formatTime(unit string, t time.Time) string {
	switch unit {
	case "unix_ms":
		return strconv.FormatInt(t.UnixMilli(), 10)
	case "rfc3339":
		return t.UTC().Format(time.RFC3339)
	case "rfc3339_no_zone":
		return t.UTC().Format("2006-01-02T15:04:05")
	case "http_date":
		return t.UTC().Format(http.TimeFormat)
	}
	return strconv.FormatInt(t.Unix(), 10)
}

// tolerate compares a signed time with the time of arrival. Both limits are inclusive. A zero time is one that the provider may leave out.
func (p *Provider) tolerate(arrived, signed time.Time) error {
	if signed.IsZero() || p.spec.Timestamp.Unsigned {
		return nil
	}
	age, ahead := arrived.Sub(signed), signed.Sub(arrived) // each ends at the longest duration, which has no negative
	switch {
	case p.ts.past >= 0 && age > p.ts.past.Std():
		return fmt.Errorf("%w: signed %s before arrival, %s allowed", ErrStale, age.Round(time.Second), p.ts.past)
	case p.ts.future >= 0 && ahead > p.ts.future.Std():
		return fmt.Errorf("%w: signed %s after arrival, %s allowed", ErrStale, ahead.Round(time.Second), p.ts.future)
	}
	return nil
}

// Tolerance returns how old and how far ahead a signed timestamp may be; Off where there is no limit.
func (p *Provider) Tolerance() (past, future Duration) { return p.ts.past, p.ts.future }
