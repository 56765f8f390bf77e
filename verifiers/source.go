package verifiers

import (
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// place is where a source reads.
type place int

const (
	placeHeader place = iota
	placeJSON
	placeQuery
	placeForm
	placeParam
	placeLiteral
	placeBody     // in an expression its hash, in a template itself
	placeRaw      // the body
	placeSource   // name of the configured source
	placeMethod   // HTTP method
	placeURL      // full address
	placePath     // escaped path
	placeTarget   // path with query
	placeRawQuery // query as it came
	placeHost     // host of the address, with port if it has one
	placeIP       // client
	placeLastPath // last segment of the path
	placeTimestamp
	placeID
	placeKeyID
	placeSecret
	placeSecretID
	placeFormSorted   // name+value of all form fields, sorted, repeated values once
	placeQuerySorted  // name=value of all query parameters, sorted, joined by &
	placeQueryEncoded // the query by name, escaped as in a form
	placeCanonical    // method, path and query as Atlassian's qsh has them
	placeExpr         // an expression of its own, in Signature only
	placeContentType  // media type of the body
)

// prefixed places take a name after a colon or a dot, bare ones take none.
var (
	prefixedPlaces = map[string]place{
		"header": placeHeader, "json": placeJSON, "query": placeQuery, "form": placeForm, "param": placeParam, "literal": placeLiteral,
	}
	barePlaces = map[string]place{
		"body": placeBody, "raw": placeRaw, "source": placeSource, "method": placeMethod, "url": placeURL, "path": placePath, "target": placeTarget,
		"query": placeRawQuery, "host": placeHost, "ip": placeIP, "last_path": placeLastPath, "timestamp": placeTimestamp, "id": placeID,
		"key_id": placeKeyID, "secret": placeSecret, "secret_id": placeSecretID, "form_sorted": placeFormSorted,
		"query_sorted": placeQuerySorted, "query_encoded": placeQueryEncoded, "canonical_request": placeCanonical,
		"content_type": placeContentType,
	}
)

// source is one place of a request to read a value from.
type source struct {
	place place
	name  string
}

// parseSource reads "header:X", "json.path", "body" and so on.
func parseSource(s string) (source, error) {
	if p, ok := barePlaces[s]; ok {
		return source{place: p}, nil
	}
	i := strings.IndexAny(s, ":.")
	if i < 0 {
		return source{}, fieldError(s, "expected header:<Name>, json:<path>, query:<name>, form:<name>, param:<name>, literal:<text> or one of %s", names(barePlaces))
	}
	p, ok := prefixedPlaces[s[:i]]
	if !ok {
		return source{}, fieldError(s, "unknown place %q: expected one of %s", s[:i], names(prefixedPlaces))
	}
	name := s[i+1:]
	if name == "" {
		return source{}, fieldError(s, "expected a name after %q", s[:i+1])
	}
	if p == placeHeader {
		name = textproto.CanonicalMIMEHeaderKey(name)
	}
	return source{place: p, name: name}, nil
}

// names lists the keys of a table for error messages.
func names[V any](m map[string]V) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return strings.Join(keys, ", ")
}

// value reads the source; the empty string if it is not there.
func (s source) value(a *attempt) string {
	switch s.place {
	case placeHeader:
		return a.header(s.name)
	case placeJSON:
		body := a.body
		if a.element != nil {
			body = a.element
		}
		return jsonValue(body, s.name)
	case placeQuery:
		return a.queryValues().Get(s.name)
	case placeForm:
		return a.formValues().Get(s.name)
	case placeParam:
		if a.p == nil {
			return ""
		}
		return a.p.param(s.name)
	case placeLiteral:
		return s.name
	case placeBody, placeRaw:
		return string(a.body)
	case placeSource:
		return a.r.Source
	case placeMethod:
		return a.r.Method
	case placeIP:
		return a.r.ClientIP
	case placeTimestamp:
		return a.timestamp
	case placeID:
		return a.id
	case placeKeyID:
		return a.keyID
	case placeSecret:
		if a.key != nil {
			return string(a.key.bytes)
		}
		return ""
	case placeSecretID:
		if a.key != nil {
			return a.key.id
		}
		return ""
	case placeFormSorted:
		form := a.formValues()
		if a.partly {
			return string(a.body) // which nobody signs so: what fields do not show must not pass as signed
		}
		return formSorted(form)
	case placeContentType:
		return a.header("Content-Type")
	default:
		return s.urlValue(a)
	}
}

// urlValue reads the parts of the address.
func (s source) urlValue(a *attempt) string {
	if s.place == placeURL {
		return a.address()
	}
	u := a.r.URL
	if u == nil {
		return ""
	}
	switch s.place {
	case placePath:
		return u.EscapedPath()
	case placeTarget:
		return u.RequestURI()
	case placeRawQuery:
		return u.RawQuery
	case placeHost:
		return u.Host
	case placeLastPath:
		return u.Path[strings.LastIndexByte(u.Path, '/')+1:]
	case placeQuerySorted, placeQueryEncoded:
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil {
			return u.RawQuery // which nobody signs so: what the parameters do not show must not pass as signed
		}
		if s.place == placeQuerySorted {
			return querySorted(query)
		}
		return query.Encode()
	case placeCanonical:
		return canonicalRequest(a.r.Method, u)
	default:
		return ""
	}
}

// jsonValue reads a path: strings unescaped, numbers as they are written, objects and arrays as they are, null as nothing. A path that fans out has no value where
// no element has one.
func jsonValue(body []byte, path string) string {
	v := getJSON(body, path)
	switch {
	case v.Type == gjson.Number:
		return v.Raw
	case v.Raw == "[]" && strings.Contains(path, "#"):
		return ""
	}
	return v.String()
}

// formSorted is the string that Twilio and its kin sign: fields by name, each name followed by its value; of equal values of a name one counts.
func formSorted(form map[string][]string) string {
	var b strings.Builder
	for _, name := range sortedKeys(form) {
		for _, v := range slices.Compact(slices.Sorted(slices.Values(form[name]))) {
			b.WriteString(name)
			b.WriteString(v)
		}
	}
	return b.String()
}

// querySorted is the query by name, as name=value joined by &, not escaped.
func querySorted(query map[string][]string) string {
	var b strings.Builder
	for _, name := range sortedKeys(query) {
		for _, v := range query[name] {
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(name)
			b.WriteByte('=')
			b.WriteString(v)
		}
	}
	return b.String()
}

func sortedKeys(m map[string][]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
