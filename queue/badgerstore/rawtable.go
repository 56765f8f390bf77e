package badgerstore

import (
	"crypto/aes"
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

// kinds says which rows a block may have, going by those at its ends. What the last one ends with is not known.
func (t *rawTable) kinds(i int) rowKinds {
	first, last := t.blocks[i].first, []byte{0xff}
	if i+1 < len(t.blocks) {
		last = t.blocks[i+1].first
	}
	if len(first) == 0 || len(last) == 0 {
		return allRows
	}
	var kinds rowKinds
	for table, kind := range kindOfTable {
		if table >= first[0] && table <= last[0] {
			kinds |= kind
		}
	}
	return kinds
}
