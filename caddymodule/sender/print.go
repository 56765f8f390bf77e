package sender

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// Curl writes a request as a line for a POSIX shell that sends exactly the same bytes.
func Curl(r *verifiers.Request, to *url.URL) (string, error) {
	req, err := HTTPRequest(context.Background(), r, to)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	text := utf8.Valid(r.Body) && !bytes.ContainsRune(r.Body, 0)
	if !text {
		fmt.Fprintf(&b, "printf %%s %s | base64 -d | ", base64.StdEncoding.EncodeToString(r.Body))
	}
	fmt.Fprintf(&b, "curl -sS -i -X %s %s", r.Method, quote(req.URL.String()))
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		for _, value := range req.Header[name] {
			fmt.Fprintf(&b, " -H %s", quote(name+": "+value))
		}
	}
	switch {
	case !text:
		b.WriteString(" --data-binary @-")
	case len(r.Body) > 0:
		fmt.Fprintf(&b, " --data-raw %s", quote(string(r.Body)))
	}
	return b.String(), nil
}

// quote makes one word of s for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// HTTPText writes a request as HTTP/1.1 text, the form in which `caddy webhooks verify` reads it back.
func HTTPText(r *verifiers.Request, to *url.URL) ([]byte, error) {
	req, err := HTTPRequest(context.Background(), r, to)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, req.URL.RequestURI(), req.URL.Host)
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		for _, value := range req.Header[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	fmt.Fprintf(&b, "Content-Length: %s\r\n\r\n", strconv.Itoa(len(r.Body)))
	b.Write(r.Body)
	return b.Bytes(), nil
}
