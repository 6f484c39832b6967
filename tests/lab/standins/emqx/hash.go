package main

// Password hashes, as EMQX makes and compares them.

import (
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"hash"

	"golang.org/x/crypto/bcrypt"
)

func hashNew(name string) func() hash.Hash {
	switch name {
	case "md5":
		return md5.New
	case "sha":
		return sha1.New
	case "sha256":
		return sha256.New
	case "sha512":
		return sha512.New
	case "sha224":
		return sha256.New224
	case "sha384":
		return sha512.New384
	}
	return nil
}

// hashPassword computes what should stand in the database; "" when the algorithm is not one.
func hashPassword(alg Map, salt, password string) string {
	name := asStr(alg["name"])
	switch name {
	case "pbkdf2":
		h := hashNew(asStr(alg["mac_fun"]))
		if h == nil {
			return ""
		}
		length := asInt(alg["dk_length"], h().Size())
		key, err := pbkdf2.Key(h, password, []byte(salt), asInt(alg["iterations"], 4096), length)
		if err != nil {
			return ""
		}
		return hex.EncodeToString(key)
	case "plain", "md5", "sha", "sha256", "sha512":
		text := password
		switch position := asStr(alg["salt_position"]); position {
		case "suffix":
			text = password + salt
		case "disable":
		default:
			text = salt + password
		}
		if name == "plain" {
			return text
		}
		h := hashNew(name)()
		h.Write([]byte(text))
		return hex.EncodeToString(h.Sum(nil))
	}
	return ""
}

func checkPassword(alg Map, stored, salt, password string) bool {
	if asStr(alg["name"]) == "bcrypt" {
		return bcrypt.CompareHashAndPassword([]byte(stored), []byte(password)) == nil
	}
	want := hashPassword(alg, salt, password)
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(stored)) == 1
}

// newHash makes the hash and the salt of a new user.
func newHash(alg Map, password string) (stored, salt string, err error) {
	if asStr(alg["name"]) == "bcrypt" {
		raw, err := bcrypt.GenerateFromPassword([]byte(password), asInt(alg["salt_rounds"], 10))
		return string(raw), "", err
	}
	if asStr(alg["salt_position"]) != "disable" {
		var raw [16]byte
		if _, err := rand.Read(raw[:]); err != nil {
			return "", "", err
		}
		salt = hex.EncodeToString(raw[:])
	}
	return hashPassword(alg, salt, password), salt, nil
}
