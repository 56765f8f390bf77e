package verifiers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"strings"
)

// writeNested sets a value inside of the JSON that a form's field holds, as "form:payload>json:signature" reads it. Nothing else can be written.
func writeNested(r *Request, expr, v string) error {
	outer, path, ok := strings.Cut(expr, ">json:")
	name, isForm := strings.CutPrefix(outer, "form:")
	fields, _ := parseForm(r.Header, r.Body)
	if !ok || !isForm || looksLikeJSON(r.Body) || !fields.Has(name) {
		return fmt.Errorf("%w: %s cannot be written", ErrCannotSign, expr)
	}
	inner := Request{Body: []byte(fields.Get(name))}
	if err := replaceJSON(&inner, path, v); err != nil {
		return err
	}
	return writeField(r, name, string(inner.Body))
}

// errNoForm says that a body has no place for a field.
var errNoForm = fmt.Errorf("%w: body is not a form", ErrCannotSign)

// writeField sets a field of a form, which stays of the kind that it is: multipart or urlencoded.
func writeField(r *Request, name, v string) error {
	if boundary, ok := multipartBoundary(r.Header); ok {
		return writePart(r, boundary, name, v)
	}
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return errNoForm
	}
	form.Set(name, v)
	r.Body = []byte(form.Encode())
	return nil
}

// writePart sets a field of a multipart form. The other parts stay as they are, and the boundary does, which the content type names.
func writePart(r *Request, boundary, name, v string) error {
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	if err := w.SetBoundary(boundary); err != nil {
		return errNoForm
	}
	in, found := multipart.NewReader(bytes.NewReader(r.Body), boundary), false
	for {
		part, err := in.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errNoForm
		}
		var content io.Reader = part
		if part.FormName() == name && part.FileName() == "" {
			content, found = strings.NewReader(v), true
			part.Header.Del("Content-Transfer-Encoding") // the new value is plain
		}
		if err := copyPart(w, part.Header, content); err != nil {
			return errNoForm
		}
	}
	if !found {
		if err := w.WriteField(name, v); err != nil {
			return fmt.Errorf("%w: %w", ErrCannotSign, err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("%w: %w", ErrCannotSign, err)
	}
	r.Body = out.Bytes()
	return nil
}

func copyPart(w *multipart.Writer, header textproto.MIMEHeader, content io.Reader) error {
	to, err := w.CreatePart(header)
	if err == nil {
		_, err = io.Copy(to, content)
	}
	return err
}
