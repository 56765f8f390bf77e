package caddymodule

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// TestReadWhole reads bodies whose announced length is right, wrong or missing: what comes back is always what was sent, or the reader's error.
func TestReadWhole(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, 1024, 100_000, 1_000_000} {
		want := bytes.Repeat([]byte("b"), size)
		for _, announced := range []int64{-1, 0, 1, int64(size) - 1, int64(size), int64(size) + 1} {
			for name, wrap := range map[string]func(io.Reader) io.Reader{"as it comes": iotest.DataErrReader, "byte by byte": iotest.OneByteReader} {
				got, err := readWhole(wrap(bytes.NewReader(want)), announced)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, %d announced, %s: got %d bytes and error %v", size, announced, name, len(got), err)
				}
			}
			cutOff := io.MultiReader(bytes.NewReader(want), iotest.ErrReader(io.ErrUnexpectedEOF))
			if _, err := readWhole(cutOff, announced); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d bytes, %d announced, then cut off: error %v", size, announced, err)
			}
		}
	}
}

// bufferWatch is a body that notes how large the buffers are that it is read into.
type bufferWatch struct {
	io.Reader
	largest int
}

func (w *bufferWatch) Read(p []byte) (int, error) {
	w.largest = max(w.largest, len(p))
	return w.Reader.Read(p)
}

// TestReadWholeMemory announces much and sends little: the memory is there for what arrives.
func TestReadWholeMemory(t *testing.T) {
	const announced = 5 << 20
	for _, sent := range []int{0, 1 << 10, 100 << 10, 1 << 20} {
		body := bufferWatch{Reader: io.MultiReader(bytes.NewReader(make([]byte, sent)), iotest.ErrReader(io.ErrUnexpectedEOF))}
		if _, err := readWhole(&body, announced); err == nil || body.largest > max(maxTrusted+1, 4*sent) {
			t.Errorf("%d bytes sent: a buffer of %d bytes (%v)", sent, body.largest, err)
		}
	}
	if got, err := readWhole(bytes.NewReader(make([]byte, announced)), announced); err != nil || len(got) != announced || cap(got) != announced+1 {
		t.Errorf("%d bytes in a buffer of %d (%v)", len(got), cap(got), err)
	}
}
