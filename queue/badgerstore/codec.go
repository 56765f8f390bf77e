package badgerstore

import (
	"encoding/binary"
	"time"
)

// encoder appends fields to a buffer. Numbers are varints, strings and bytes are preceded by their length.
type encoder struct{ b []byte }

func (e *encoder) byte(v byte)     { e.b = append(e.b, v) }
func (e *encoder) uint(v uint64)   { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)     { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) fixed(v uint64)  { e.b = be.AppendUint64(e.b, v) }
func (e *encoder) string(v string) { e.b = append(binary.AppendUvarint(e.b, uint64(len(v))), v...) }
func (e *encoder) bytes(v []byte)  { e.b = append(binary.AppendUvarint(e.b, uint64(len(v))), v...) }

// time keeps any time, to the nanosecond, without its zone.
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.byte(0)
		return
	}
	e.byte(1)
	e.int(t.Unix())
	e.uint(uint64(t.Nanosecond()))
}

// decoder reads what an encoder wrote. After something that does not fit, bad is set and everything reads as zero.
type decoder struct {
	b    []byte
	bad  bool
	text string // what b was at first, if strings are to be parts of it in place of copies of their own
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) fixed() uint64 {
	if len(d.b) < 8 {
		d.fail()
		return 0
	}
	v := be.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// view returns bytes that alias the buffer.
func (d *decoder) view() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string {
	v := d.view()
	if d.text == "" || len(v) == 0 {
		return string(v)
	}
	end := len(d.text) - len(d.b)
	return d.text[end-len(v) : end]
}

func (d *decoder) bytes() []byte {
	v := d.view()
	if len(v) == 0 {
		return nil
	}
	return append([]byte(nil), v...)
}

// count reads the number of elements that follow; each takes at least one byte, so a damaged number cannot ask for much memory.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) time() time.Time {
	switch d.byte() {
	case 0:
		return time.Time{}
	case 1:
		sec, nsec := d.int(), d.uint()
		if !d.bad && nsec < 1e9 {
			return time.Unix(sec, int64(nsec)).UTC()
		}
	}
	d.fail()
	return time.Time{}
}

// nanos is a time as rows keep it: 0 is the zero time.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixNano(), 1)
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
