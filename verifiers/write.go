package verifiers

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// writeValue sets a value of a request. A JSON field must be there already: it is replaced where it stands.
func writeValue(r *Request, p place, name, v string) error {
	switch p {
	case placeHeader:
		r.Header[name] = []string{v}
	case placeQuery:
		u := *r.URL
		q := u.Query()
		q.Set(name, v)
		u.RawQuery = q.Encode()
		r.URL = &u
	case placeForm:
		return writeField(r, name, v)
	case placeJSON:
		return replaceJSON(r, name, v)
	case placeRaw:
		r.Body = []byte(v)
	case placeLastPath:
		u := *r.URL
		u.Path = u.Path[:strings.LastIndexByte(u.Path, '/')+1] + v
		u.RawPath = ""
		r.URL = &u
	default:
		return fmt.Errorf("%w: the place cannot be written", ErrCannotSign)
	}
	return nil
}

// replaceJSON replaces the value at path, as a number where a number stood. Of a path that fans out every value is replaced.
func replaceJSON(r *Request, path, v string) error {
	old := getJSON(r.Body, path)
	var at []int
	values := []gjson.Result{old}
	switch {
	case len(old.Indexes) > 0:
		at, values = old.Indexes, old.Array()
	case old.Index > 0:
		at = []int{old.Index}
	default:
		return fmt.Errorf("%w: body has no field %s to put it in", ErrCannotSign, path)
	}
	var body []byte
	from := 0
	for i, value := range values {
		text := v
		if value.Type != gjson.Number {
			text, _ = quoteJSON(v)
		}
		body = append(body, r.Body[from:at[i]]...)
		body = append(body, text...)
		from = at[i] + len(value.Raw)
	}
	r.Body = append(body, r.Body[from:]...)
	return nil
}
