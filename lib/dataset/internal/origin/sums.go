package origin

import (
	"crypto/md5"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// checkMD5 returns damaged if the file's MD5 is not want.
func checkMD5(path, want string) error {
	sum, err := hashed(path, md5.New())
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(sum); sum != want {
		return damaged{path, fmt.Sprintf("its MD5 is %s, not %s", sum, want)}
	}
	return nil
}

// checkIntegrity returns damaged if the file's sum, as npm writes it, is not want.
func checkIntegrity(path, want string) error {
	sum, err := hashed(path, sha512.New())
	if err != nil {
		return err
	}
	if sum := "sha512-" + base64.StdEncoding.EncodeToString(sum); sum != want {
		return damaged{path, fmt.Sprintf("its sum is %s, not %s", sum, want)}
	}
	return nil
}

// hashed is a file's sum.
func hashed(path string, hash hash.Hash) ([]byte, error) {
	in, _, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	_, err = io.Copy(hash, in)
	return hash.Sum(nil), err
}
