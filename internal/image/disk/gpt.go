package disk

import (
	"fmt"
	"os"

	"github.com/diskfs/go-diskfs/partition/gpt"
)

const sector = 512

// types are the partition types that have names, of x86-64 (UAPI.2 Discoverable Partitions
// Specification).
func types() map[string]string {
	return map[string]string{
		"esp":           "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
		"home":          "933AC7E1-2EB4-4F13-B844-0E14E2AEF915",
		"linux-generic": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
		"root":          "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
		"srv":           "3B8F8425-20E0-4F3B-907F-1A25A76F98E8",
		"swap":          "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
		"tmp":           "7EC6F557-3BC5-4ACA-B293-16EF5DF639D1",
		"usr":           "8484680C-9521-48C6-9C11-B0720656F69E",
		"var":           "4D21B016-B534-45C2-A9FB-5C16E091FD2D",
		"xbootldr":      "BC13C2FF-59E6-4262-A352-B275FD6F7172",
	}
}

// Create makes a sparse file of the layout's size at path, with its partition table (UEFI
// specification, chapter 5) and nothing else. The file must not exist.
func (l *Layout) Create(path string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	if err := f.Truncate(l.Size); err != nil {
		return fmt.Errorf("making a file of %d bytes: %w", l.Size, err)
	}
	t := &gpt.Table{LogicalSectorSize: sector, PhysicalSectorSize: sector, GUID: l.GUID, ProtectiveMBR: true}
	for i, p := range l.Partitions {
		t.Partitions = append(t.Partitions, &gpt.Partition{
			Index: i + 1, Start: uint64(p.Start / sector), End: uint64((p.Start+p.Size)/sector - 1), Size: uint64(p.Size),
			Type: gpt.Type(p.Type), Name: p.Label, GUID: p.GUID,
		})
	}
	if err := t.Write(f, l.Size); err != nil {
		return fmt.Errorf("writing the partition table: %w", err)
	}
	return nil
}
