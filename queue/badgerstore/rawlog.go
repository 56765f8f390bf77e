package badgerstore

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"slices"
	"strconv"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
)

// What follows reads Badger's files without Badger, which changes them as it opens them, deletes what its manifest does not name, and gives up, or
// panics, over the first damage. Nothing here writes. Badger's formats are those of v4; see its structs.go, memtable.go and table/builder.go.

// Bits of an entry's meta byte.
const (
	rawDeleted = 1 << 0
	rawPointer = 1 << 1 // the value is in the value log
	rawTxn     = 1 << 6 // part of a transaction
	rawTxnEnd  = 1 << 7
)

const (
	rawLogHeader = 20 // id of the data key, 12 bytes of initialisation vector
	rawMaxKey    = 300
	rawMaxEntry  = 64 << 20
)

// rawRow is one version of a row.
type rawRow struct {
	key   []byte
	ts    uint64
	meta  byte
	value []byte // or where it is in the value log
}

func (r *rawRow) deleted() bool { return r.meta&rawDeleted != 0 }

func splitVersion(key []byte) ([]byte, uint64) {
	n := len(key) - 8
	return key[:n:n], math.MaxUint64 - be.Uint64(key[n:])
}

// rawLog is a file of Badger's log format: the log of a memtable, or a file of the value log.
type rawLog struct {
	f    *os.File
	path string
	size int64
	key  *pb.DataKey // nil: not encrypted
	iv   [12]byte
}

type logEntry struct {
	off   int64
	size  int
	meta  byte
	key   []byte // with its version
	value []byte
}

// logGap is a part of a log that holds no entry, though there are entries behind it.
type logGap struct{ from, to int64 }

func openRawLog(path string, keys *badger.KeyRegistry) (*rawLog, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	l := &rawLog{f: f, path: path}
	info, err := f.Stat()
	if err == nil {
		l.size = info.Size()
		err = l.readHeader(keys)
	}
	if err != nil {
		_ = f.Close() // it was only read
		return nil, err
	}
	return l, nil
}

var errNoKeys = errors.New("there is no registry of keys")

func (l *rawLog) readHeader(keys *badger.KeyRegistry) (err error) {
	var header [rawLogHeader]byte
	if l.size < rawLogHeader {
		return fmt.Errorf("has %d bytes, which is less than its header", l.size)
	}
	if _, err := l.f.ReadAt(header[:], 0); err != nil {
		return err
	}
	copy(l.iv[:], header[8:])
	if id := be.Uint64(header[:]); id != 0 {
		if keys == nil {
			return fmt.Errorf("is encrypted with data key %d, and %w", id, errNoKeys)
		}
		if l.key, err = keys.DataKey(id); err != nil {
			return fmt.Errorf("is encrypted with data key %d, which the registry does not have", id)
		}
	}
	return nil
}

func (l *rawLog) close() { _ = l.f.Close() } // it was only read

// parse reads the entry at the beginning of b, which is at off in the file; false if there is none. need is how many bytes b would have to have.
func (l *rawLog) parse(b []byte, off int64) (e logEntry, need int, ok bool) {
	if len(b) < 5 || b[1] != 0 || b[0]&^(0x0f|rawTxn|rawTxnEnd) != 0 {
		return e, 0, false
	}
	at := 2
	klen, n := binary.Uvarint(b[at:])
	if n <= 0 || klen < 9 || klen > rawMaxKey {
		return e, 0, false
	}
	at += n
	vlen, n := binary.Uvarint(b[at:])
	if n <= 0 || vlen > rawMaxEntry {
		return e, 0, false
	}
	at += n
	expires, n := binary.Uvarint(b[at:])
	if n <= 0 || expires != 0 {
		return e, 0, false
	}
	at += n
	end := at + int(klen+vlen)
	if len(b) < end+4 {
		return e, end + 4, false
	}
	if crc32.Checksum(b[:end], castagnoli) != be.Uint32(b[end:]) {
		return e, 0, false
	}
	kv := b[at:end]
	if l.key != nil {
		iv := be.AppendUint32(append(make([]byte, 0, aes.BlockSize), l.iv[:]...), uint32(off))
		var err error
		if kv, err = y.XORBlockAllocate(kv, l.key.Data, iv); err != nil {
			return e, 0, false
		}
	}
	return logEntry{off: off, size: end + 4, meta: b[0], key: kv[:klen:klen], value: kv[klen:]}, 0, true
}

// at reads the entry that a pointer means.
func (l *rawLog) at(off int64, size uint32) (logEntry, error) {
	if size > rawMaxEntry || off+int64(size) > l.size {
		return logEntry{}, fmt.Errorf("ends at %d, before the value at %d", l.size, off)
	}
	b := make([]byte, size)
	if _, err := l.f.ReadAt(b, off); err != nil {
		return logEntry{}, err
	}
	e, _, ok := l.parse(b, off)
	if !ok {
		return logEntry{}, fmt.Errorf("the value at %d does not match its checksum", off)
	}
	return e, nil
}

// each calls fn for each intact entry; it is valid during the call. Behind damage it goes on with the next entry it finds.
func (l *rawLog) each(fn func(logEntry) error) (gaps []logGap, err error) {
	w := window{f: l.f, size: l.size, off: rawLogHeader}
	gap := int64(-1)
	for {
		w.fill(32)
		if len(w.buf) < 5 {
			return gaps, nil
		}
		e, need, ok := l.parse(w.buf, w.off)
		if need > len(w.buf) && w.off+int64(need) <= l.size {
			w.fill(need)
			e, _, ok = l.parse(w.buf, w.off)
		}
		if !ok {
			if gap < 0 {
				gap = w.off
			}
			w.skip(max(zeros(w.buf)-2, 1)) // an entry has at most two zeros at its beginning
			continue
		}
		if gap >= 0 {
			gaps, gap = append(gaps, logGap{gap, w.off}), -1
		}
		if err := fn(e); err != nil {
			return gaps, err
		}
		w.skip(e.size)
	}
}

// zeros counts the zero bytes at the beginning.
func zeros(b []byte) int {
	return len(b) - len(bytes.TrimLeft(b, "\x00"))
}

// rows returns the rows of a memtable's log that were committed, and the damage in front of the last commit. A transaction that was being written
// when the process ended is neither.
func (l *rawLog) rows() (rows []rawRow, damage []logGap, err error) {
	committed, end := uint64(0), int64(0)
	gaps, err := l.each(func(e logEntry) error {
		key, ts := splitVersion(e.key)
		if e.meta&rawTxnEnd != 0 {
			if ts, err := strconv.ParseUint(string(e.value), 10, 64); err == nil {
				committed, end = max(committed, ts), e.off
			}
			return nil
		}
		if e.meta&rawTxn == 0 {
			committed, end = max(committed, ts), e.off
		}
		rows = append(rows, rawRow{bytes.Clone(key), ts, e.meta, bytes.Clone(e.value)})
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	rows = slices.DeleteFunc(rows, func(r rawRow) bool { return r.ts > committed })
	gaps = slices.DeleteFunc(gaps, func(g logGap) bool { return g.from > end })
	return rows, gaps, nil
}

// window is a part of a file that moves on. What the disk cannot read counts as zeros.
type window struct {
	f    io.ReaderAt
	size int64
	off  int64  // of buf in the file
	buf  []byte // read and not used yet
}

const windowStep = 1 << 20

// fill makes at least n bytes available, or as many as the file has.
func (w *window) fill(n int) {
	if len(w.buf) >= n {
		return
	}
	end := w.off + int64(len(w.buf))
	want := min(int64(max(n-len(w.buf), windowStep)), w.size-end)
	if want <= 0 {
		return
	}
	grown := make([]byte, len(w.buf)+int(want))
	got := copy(grown, w.buf)
	readLenient(w.f, grown[got:], end)
	w.buf = grown
}

func (w *window) skip(n int) {
	w.off += int64(n)
	w.buf = w.buf[min(n, len(w.buf)):]
}

// readLenient reads what can be read; the rest stays zero.
func readLenient(f io.ReaderAt, b []byte, off int64) {
	const sector = 4096
	if n, err := f.ReadAt(b, off); err == nil || n == len(b) {
		return
	}
	for at := 0; at < len(b); at += sector {
		part := b[at:min(at+sector, len(b))]
		if n, err := f.ReadAt(part, off+int64(at)); err != nil {
			clear(part[n:])
		}
	}
}
