package verifiers

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ErrCapture means that a captured request cannot be read. The error says what was expected.
var ErrCapture = errors.New("captured request is not readable")

// ParseCapture reads captured requests: HTTP/1.1 text, a HAR file (which may hold several), or a curl command line. At is set where the capture says when it was
// (HAR); the address is https where nothing says otherwise. The bodies are byte for byte what the capture holds.
func ParseCapture(data []byte) ([]*Request, error) {
	trimmed := bytes.TrimLeft(bytes.TrimPrefix(data, bom), " \t\r\n")
	switch {
	case len(trimmed) == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrCapture)
	case trimmed[0] == '{':
		return parseHAR(trimmed)
	case bytes.HasPrefix(trimmed, []byte("curl ")) || bytes.HasPrefix(trimmed, []byte("$ curl ")):
		r, err := parseCurl(strings.TrimPrefix(string(trimmed), "$ "))
		if err != nil {
			return nil, err
		}
		return []*Request{r}, nil
	}
	r, err := parseHTTP(trimmed)
	if err != nil {
		return nil, err
	}
	return []*Request{r}, nil
}

// parseHTTP reads a request line, headers, and as body all that follows the empty line, up to Content-Length if that is there.
func parseHTTP(data []byte) (*Request, error) {
	head, body, ok := cutHead(data)
	if !ok {
		return nil, fmt.Errorf("%w: expected an empty line between headers and body", ErrCapture)
	}
	rd := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(bytes.Clone(head), "\r\n\r\n"...))))
	line, err := rd.ReadLine()
	if err != nil {
		return nil, fmt.Errorf("%w: expected a request line", ErrCapture)
	}
	parts := strings.Fields(line)
	if len(parts) < 2 || len(parts) > 3 || (len(parts) == 3 && !strings.HasPrefix(parts[2], "HTTP/")) {
		return nil, fmt.Errorf("%w: expected a request line such as POST /hooks HTTP/1.1, a HAR file, or a curl command", ErrCapture)
	}
	header, err := rd.ReadMIMEHeader()
	if err != nil {
		return nil, fmt.Errorf("%w: a header is not Name: value", ErrCapture)
	}
	r := &Request{Method: strings.ToUpper(parts[0]), Header: http.Header(header)}
	if r.URL, err = captureURL(parts[1], r.Header); err != nil {
		return nil, err
	}
	r.Body, err = captureBody(r.Header, body)
	return r, err
}

// cutHead splits at the first empty line, whichever line breaks the file has.
func cutHead(data []byte) (head, body []byte, ok bool) {
	crlf, lf := bytes.Index(data, []byte("\r\n\r\n")), bytes.Index(data, []byte("\n\n"))
	switch {
	case crlf >= 0 && (lf < 0 || crlf < lf):
		return data[:crlf], data[crlf+4:], true
	case lf >= 0:
		return data[:lf], data[lf+2:], true
	}
	return bytes.TrimRight(data, "\r\n"), nil, bytes.Contains(data, []byte("\n"))
}

// captureURL makes the absolute address of a request target.
func captureURL(target string, h http.Header) (*url.URL, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("%w: %q is not an address", ErrCapture, target)
	}
	if u.Host == "" {
		u.Host = h.Get("Host")
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%w: expected a Host header or an absolute address", ErrCapture)
	}
	if u.Scheme == "" {
		u.Scheme = "https"
		if h.Get("X-Forwarded-Proto") == "http" {
			u.Scheme = "http"
		}
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

func captureBody(h http.Header, body []byte) ([]byte, error) {
	if strings.EqualFold(h.Get("Transfer-Encoding"), "chunked") {
		b, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body)))
		if err == nil {
			return b, nil
		}
		return body, nil // tools often write the joined body and keep the header
	}
	text := h.Get("Content-Length")
	if text == "" {
		return body, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%w: Content-Length is not a number", ErrCapture)
	}
	if n > len(body) {
		return nil, fmt.Errorf("%w: Content-Length is %d, but only %d bytes follow: the capture is cut off or its line breaks were changed", ErrCapture, n, len(body))
	}
	return body[:n], nil
}

// har is what is read of a HAR file.
type har struct {
	Log struct {
		Entries []struct {
			Started time.Time `json:"startedDateTime"`
			Request struct {
				Method   string
				URL      string
				Headers  []struct{ Name, Value string }
				PostData struct {
					MimeType string
					Text     string
					Encoding string
					Params   []struct{ Name, Value string }
				}
			}
		}
	}
}

func parseHAR(data []byte) ([]*Request, error) {
	var file har
	if err := json.Unmarshal(data, &file); err != nil || len(file.Log.Entries) == 0 {
		return nil, fmt.Errorf("%w: it is JSON, but no HAR file with log.entries", ErrCapture)
	}
	var out []*Request
	for i := range file.Log.Entries {
		e := &file.Log.Entries[i]
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("%w: entry %d: expected an absolute address", ErrCapture, i)
		}
		r := &Request{Method: e.Request.Method, URL: u, Header: http.Header{}, At: e.Started, Body: []byte(e.Request.PostData.Text)}
		for _, h := range e.Request.Headers {
			if !strings.HasPrefix(h.Name, ":") { // pseudo headers of HTTP/2
				r.Header.Add(h.Name, h.Value)
			}
		}
		switch post := e.Request.PostData; {
		case post.Encoding == "base64":
			if r.Body, err = base64.StdEncoding.DecodeString(post.Text); err != nil {
				return nil, fmt.Errorf("%w: entry %d: body is not base64", ErrCapture, i)
			}
		case post.Text == "" && len(post.Params) > 0:
			form := url.Values{}
			for _, p := range post.Params {
				form.Add(p.Name, p.Value)
			}
			r.Body = []byte(form.Encode())
		}
		out = append(out, r)
	}
	return out, nil
}
