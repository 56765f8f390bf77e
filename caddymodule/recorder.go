package caddymodule

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
)

const (
	attemptAnswerKept = 512     // bytes of an answer that an attempt's record keeps
	maxAnswerRead     = 1 << 20 // bytes of an answer that are read at all
)

// errEnough ends the reading of an answer that is larger than anybody wants.
var errEnough = errors.New("answer is larger than is read")

// recorder is the ResponseWriter of an attempt: it keeps the status, the header and the first bytes of the body.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
	keep   int
	read   int
	below  bool // a status below 200 was given
	enough bool // the body was cut by us
	cut    bool // the body was cut by the application
}

func newRecorder(keep int) *recorder { return &recorder{header: make(http.Header), keep: keep} }

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if status < 200 { // 1xx are not the answer, and what is less is none
		w.below = true
	} else if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 && !w.below {
		w.status = http.StatusOK
	}
	w.read += len(p)
	if room := w.keep - w.body.Len(); room > 0 {
		w.body.Write(p[:min(room, len(p))])
	}
	if w.read > maxAnswerRead {
		w.enough = true
		return 0, errEnough
	}
	return len(p), nil
}

// unpack makes what was kept of an answer readable that came packed, though nobody had asked for that. What is no gzip stays as it came, and so does the header unless all of
// the answer could be kept.
func (w *recorder) unpack() {
	if w.header.Get("Content-Encoding") != "gzip" {
		return
	}
	packed, err := gzip.NewReader(bytes.NewReader(w.body.Bytes()))
	if err != nil {
		return
	}
	plain, err := io.ReadAll(io.LimitReader(packed, int64(w.keep)+1))
	if err != nil && len(plain) == 0 {
		return
	}
	if err == nil && len(plain) <= w.keep {
		w.header.Del("Content-Encoding")
	}
	w.body.Reset()
	w.body.Write(plain[:min(len(plain), w.keep)])
}

// Flush implements http.Flusher; there is nobody to flush to.
func (w *recorder) Flush() {}

var (
	_ http.Flusher = (*recorder)(nil)
	_ io.Writer    = (*recorder)(nil)
)
