package badgerstore

import (
	"encoding/binary"
)

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
