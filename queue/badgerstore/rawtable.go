package badgerstore

import (
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// rawTable is a table of Badger's tree: blocks of rows, then an index of the blocks.
type rawTable struct {
	f      *os.File
	path   string
	key    *pb.DataKey // nil: not encrypted
	blocks []rawBlock

	scratch []byte // for the end of the file; nil: it gets memory of its own
	last    bool   // only the last block is of interest
}

type rawBlock struct {
	off, size int64
	first     []byte // key of the first row, without its version; part of the index
}

var errTableEnd = errors.New("its end, where its index is, is missing or broken")

// openRawTable reads the index of a table. keyID is that of the data key, if it is known; else all are tried.
func openRawTable(path string, keys *badger.KeyRegistry, keyID uint64, known bool) (*rawTable, error) {
	t := &rawTable{path: path}
	if err := t.open(keys, keyID, known); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *rawTable) open(keys *badger.KeyRegistry, keyID uint64, known bool) (err error) {
	if t.f, err = os.Open(t.path); err != nil {
		return err
	}
	index, err := t.readIndex()
	if err == nil {
		err = t.tryKeys(index, keys, keyID, known)
	}
	if err != nil {
		t.close()
	}
	return err
}

func (t *rawTable) close() { _ = t.f.Close() } // it was only read

// usualIndex is about the size of a table's index with its checksum.
const usualIndex = 32 << 10

// readIndex returns the index as it is in the file, after checking its checksum.
func (t *rawTable) readIndex() ([]byte, error) {
	info, err := t.f.Stat()
	if err != nil {
		return nil, err
	}
	// Mostly all of it is at hand after one read.
	if t.scratch == nil {
		t.scratch = make([]byte, usualIndex)
	}
	end := t.scratch[:min(info.Size(), int64(len(t.scratch)))]
	if _, err := t.f.ReadAt(end, info.Size()-int64(len(end))); err != nil {
		return nil, err
	}
	at := info.Size()
	tail := func(n int64) ([]byte, error) {
		if at -= n; n < 0 || at < 0 {
			return nil, errTableEnd
		}
		if from := at - (info.Size() - int64(len(end))); from >= 0 {
			return end[from : from+n : from+n], nil
		}
		b := make([]byte, n)
		if _, err := t.f.ReadAt(b, at); err != nil {
			return nil, err
		}
		return b, nil
	}
	length := func(limit uint32) (int64, error) {
		b, err := tail(4)
		if err == nil && be.Uint32(b) > limit {
			err = errTableEnd
		}
		if err != nil {
			return 0, err
		}
		return int64(be.Uint32(b)), nil
	}
	n, err := length(64)
	if err != nil {
		return nil, err
	}
	sum, err := tail(n)
	if err != nil {
		return nil, err
	}
	if n, err = length(1 << 30); err != nil {
		return nil, err
	}
	index, err := tail(n)
	if err != nil {
		return nil, err
	}
	if !sumFits(index, sum) {
		return nil, errTableEnd
	}
	return index, nil
}

// sumFits checks a checksum in Badger's form.
func sumFits(data, sum []byte) bool {
	var c pb.Checksum
	return len(sum) > 0 && proto.Unmarshal(sum, &c) == nil && y.VerifyChecksum(data, &c) == nil
}

// tryKeys finds the data key and reads the index with it.
func (t *rawTable) tryKeys(index []byte, keys *badger.KeyRegistry, keyID uint64, known bool) error {
	if known || keys == nil {
		if keyID != 0 && keys == nil {
			return fmt.Errorf("is encrypted with data key %d, and there is no registry of keys", keyID)
		}
		if keyID != 0 {
			key, err := keys.DataKey(keyID)
			if err != nil {
				return fmt.Errorf("is encrypted with data key %d, which the registry does not have", keyID)
			}
			t.key = key
		}
		return t.decodeIndex(index)
	}
	for id := uint64(0); ; id++ {
		key, err := keys.DataKey(id)
		if err != nil {
			return errors.New("none of the data keys fits")
		}
		t.key = key
		if guarded(func() error { return t.decodeIndex(index) }) == nil && len(t.blocks) > 0 {
			if _, err := t.rows(0); err == nil {
				return nil
			}
		}
	}
}

func (t *rawTable) decodeIndex(index []byte) error {
	return guarded(func() error {
		plain, err := t.decrypt(index)
		if err != nil {
			return err
		}
		root := fb.GetRootAsTableIndex(plain, 0)
		n := root.OffsetsLength()
		from := 0
		if t.last {
			from = max(n-1, 0)
		}
		t.blocks = make([]rawBlock, n-from)
		for i := range t.blocks {
			var o fb.BlockOffset
			if !root.Offsets(&o, from+i) || len(o.KeyBytes()) < 9 {
				return errTableEnd
			}
			first, _ := splitVersion(o.KeyBytes())
			t.blocks[i] = rawBlock{int64(o.Offset()), int64(o.Len()), first}
		}
		return nil
	})
}

func (t *rawTable) decrypt(b []byte) ([]byte, error) {
	if t.key == nil {
		return b, nil
	}
	n := len(b) - aes.BlockSize
	if n < 0 {
		return nil, errTableEnd
	}
	return y.XORBlockAllocate(b[:n], t.key.Data, b[n:])
}

// rows reads a block.
func (t *rawTable) rows(i int) ([]rawRow, error) {
	blk := t.blocks[i]
	b := make([]byte, blk.size)
	if _, err := t.f.ReadAt(b, blk.off); err != nil {
		return nil, fmt.Errorf("block at %d: %w", blk.off, err)
	}
	b, err := t.decrypt(b)
	if err != nil {
		return nil, err
	}
	rows, ok := parseBlock(b)
	if !ok {
		return nil, fmt.Errorf("block at %d does not match its checksum", blk.off)
	}
	return rows, nil
}

// parseBlock reads a block and checks its checksum.
func parseBlock(b []byte) ([]rawRow, bool) {
	content, sum, ok := splitBlock(b)
	if !ok || !sumFits(content.all, sum) {
		return nil, false
	}
	return content.rows()
}

// blockContent is what the checksum of a block covers: rows, the offsets of the rows, and their number.
type blockContent struct {
	all           []byte
	data, offsets []byte
}

// splitBlock tells the parts of a block apart: its content, a checksum and its length.
func splitBlock(b []byte) (content blockContent, sum []byte, ok bool) {
	end := len(b) - 4
	if end < 0 {
		return content, nil, false
	}
	n := int(be.Uint32(b[end:]))
	if n <= 0 || n > 64 || end-n-4 < 0 {
		return content, nil, false
	}
	sum = b[end-n : end]
	end -= n
	count := int(be.Uint32(b[end-4:]))
	offsets := end - 4 - 4*count
	if count <= 0 || count > end/4 || offsets < 0 {
		return content, nil, false
	}
	return blockContent{b[:end], b[:offsets], b[offsets : end-4]}, sum, true
}

func (c *blockContent) rows() ([]rawRow, bool) {
	data, offsets := c.data, c.offsets
	count := len(offsets) / 4
	rows := make([]rawRow, 0, count)
	var base []byte
	for i := range count {
		from, to := int(binary.NativeEndian.Uint32(offsets[4*i:])), len(data)
		if i+1 < count {
			to = int(binary.NativeEndian.Uint32(offsets[4*i+4:]))
		}
		if from < 0 || to > len(data) || to-from < 4 {
			return nil, false
		}
		e := data[from:to]
		overlap, diff := int(binary.NativeEndian.Uint16(e)), int(binary.NativeEndian.Uint16(e[2:]))
		if e = e[4:]; diff > len(e) || overlap > len(base) {
			return nil, false
		}
		key := append(append(make([]byte, 0, overlap+diff), base[:overlap]...), e[:diff]...)
		if i == 0 {
			base = key
		}
		if e = e[diff:]; len(key) < 9 || len(e) < 3 {
			return nil, false
		}
		_, n := binary.Uvarint(e[2:])
		if n <= 0 {
			return nil, false
		}
		user, ts := splitVersion(key)
		rows = append(rows, rawRow{user, ts, e[0], e[2+n:]})
	}
	return rows, true
}

const maxRawBlock = 64 << 10

// scanBlocks finds the blocks of a table without its index. A block begins with a row that shares nothing with another one, and ends with its checksum.
func scanBlocks(b []byte) (rows []rawRow) {
	for at := 0; at+20 < len(b); {
		found, size := blockAt(b[at:min(at+maxRawBlock, len(b))])
		if size == 0 {
			at++
			continue
		}
		rows = append(rows, found...)
		at += size
	}
	return rows
}

// blockAt looks for the end of a block that begins at the beginning of b.
func blockAt(b []byte) ([]rawRow, int) {
	if len(b) < 20 || binary.NativeEndian.Uint16(b) != 0 {
		return nil, 0
	}
	if n := binary.NativeEndian.Uint16(b[2:]); n < 9 || n > rawMaxKey {
		return nil, 0
	}
	for end := 20; end <= len(b); end++ {
		if n := be.Uint32(b[end-4:]); n == 0 || n > 32 {
			continue
		}
		if rows, ok := parseBlock(b[:end]); ok {
			return rows, end
		}
	}
	return nil, 0
}
