package verifiers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// attempt is what one Verify, Sign or Challenge knows of its request: the values that expressions and templates read. Attempts are pooled.
type attempt struct {
	p *Provider // nil when an expression is evaluated on its own
	r *Request

	body    []byte           // as signed: the request's own or a variant of it
	element []byte           // the element of a batch that json: reads; nil outside of a batch
	shared  map[*term]string // of terms that read none of the element: the same for each
	url     string           // variant of the address; empty: the request's own

	id        string    // message id
	at        time.Time // time of signing
	timestamp string    // as it came
	keyID     string    // which key the request says it was signed with
	content   *Template // that the signature fits
	key       *key      // the key being tried
	secrets   []Secret  // all live ones

	sigs    []sigItem
	form    url.Values
	partly  bool // form lacks what of the body could not be read, or was left out
	query   url.Values
	scratch []byte // copies of strings on their way into a hash
	sum     []byte // the hash being compared
	encoded []byte // decoded signatures
}

var attempts = sync.Pool{New: func() any { return &attempt{scratch: make([]byte, 0, 512), sum: make([]byte, 0, 64)} }}

func newAttempt(p *Provider, r *Request) *attempt {
	a, _ := attempts.Get().(*attempt)
	a.p, a.r, a.body = p, r, r.Body
	return a
}

// release gives a back to the pool without anything of the request in it.
func (a *attempt) release() {
	if cap(a.sigs) > 4*maxSignatures {
		a.sigs, a.encoded = nil, nil // not worth keeping: a batch with a token in each element
	}
	clear(a.sigs)
	clear(a.scratch[:cap(a.scratch)])
	*a = attempt{sigs: a.sigs[:0], scratch: a.scratch[:0], sum: a.sum[:0], encoded: a.encoded[:0]}
	attempts.Put(a)
}

// bodyHash is the SHA-256, in hex, of the body or, of a batch, of the element.
func (a *attempt) bodyHash() string {
	body := a.body
	if a.element != nil {
		body = a.element
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// header returns the first value of a header under its canonical name.
func (a *attempt) header(canonical string) string {
	if v := a.r.Header[canonical]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// address is the full URL as the sender saw it, or the variant being tried.
func (a *attempt) address() string {
	if a.url != "" {
		return a.url
	}
	if a.r.URL == nil {
		return ""
	}
	return a.r.URL.String()
}

// queryValues reads the query once. What cannot be read is left out.
func (a *attempt) queryValues() url.Values {
	if a.query == nil {
		a.query = url.Values{}
		if a.r.URL != nil {
			a.query = a.r.URL.Query()
		}
	}
	return a.query
}

// formValues reads the body as a form once: multipart if the content type says so, else urlencoded. Files are left out.
func (a *attempt) formValues() url.Values {
	if a.form == nil {
		var whole bool
		a.form, whole = parseForm(a.r.Header, a.r.Body)
		a.partly = !whole
	}
	return a.form
}

// parseForm never fails: what cannot be read is left out, as a field that is not there. whole tells that nothing was.
func parseForm(h http.Header, body []byte) (fields url.Values, whole bool) {
	boundary, ok := multipartBoundary(h)
	if !ok {
		v, err := url.ParseQuery(string(body))
		return v, err == nil
	}
	form, err := multipart.NewReader(bytes.NewReader(body), boundary).ReadForm(int64(len(body)) + 1<<10)
	if err != nil {
		return url.Values{}, false
	}
	defer form.RemoveAll() //nolint:errcheck // nothing was written to disk: the limit is above the body's size
	return form.Value, len(form.File) == 0
}

// multipartBoundary is what stands between the parts of the body; ok is false if the content type does not say that it has parts.
func multipartBoundary(h http.Header) (boundary string, ok bool) {
	mediaType, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	return params["boundary"], err == nil && strings.HasPrefix(mediaType, "multipart/")
}
