// Speaks many utterances in one process with a synthesiser that was installed by npm.
//
//   node speak.mjs ENGINE FOLDER      ENGINE: gnuspeech or sam; FOLDER has node_modules
//
// Standard input: one JSON object per line, {text, wav, voice, speed, pitch}; speed and pitch are
// ratios to the voice's own. Every utterance becomes the file `wav`. Standard output: one line of
// JSON {wav, error} for each utterance that failed.

import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const SAM_RATE_HZ = 22050
// speed, pitch, throat, mouth; in the first two a smaller number is faster and higher.
const SAM_PRESETS = {
  sam: [72, 64, 128, 128],
  elf: [72, 64, 110, 160],
  stuffy: [82, 72, 110, 105],
  old_lady: [82, 32, 145, 145],
}

async function openGnuspeech(folder) {
  const file = path.join(folder, 'node_modules/@echogarden/gnuspeech-wasm/wasm/gnuspeech.js')
  const { default: initialise } = await import(pathToFileURL(file))
  const module = await initialise()
  const data = '/data/en'
  const config = `${data}/trm_control_model.txt`
  const defaults = module.FS.readFile(config, { encoding: 'utf8' })

  function allocate(text) {
    const bytes = Buffer.from(`${text}\0`)
    const address = module._malloc(bytes.length)
    module.HEAPU8.set(bytes, address)
    return address
  }

  return ({ text, voice, speed, pitch }) => {
    const semitones = 12 * Math.log2(pitch)
    module.FS.writeFile(
      config,
      defaults
        .replace(/^voice_name = .*$/m, `voice_name = ${voice}`)
        .replace(/^tempo = .*$/m, `tempo = ${speed.toFixed(4)}`)
        .replace(/^pitch_offset = (.*)$/m, (_, own) =>
          `pitch_offset = ${(Number(own) + semitones).toFixed(4)}`),
    )
    module.FS.writeFile('out.wav', '') // else a failure would return the utterance before
    const strings = [text, 'out.wav', data, 'params.txt'].map(allocate)
    module._GnuSpeech_synthesizeToFile(...strings, 0)
    strings.forEach((address) => module._free(address))
    return module.FS.readFile('out.wav')
  }
}

/** A WAV file of 8-bit mono samples. */
function wav8(samples, rateHz) {
  const header = Buffer.alloc(44)
  header.write('RIFF', 0)
  header.writeUInt32LE(36 + samples.length, 4)
  header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20) // PCM
  header.writeUInt16LE(1, 22) // channels
  header.writeUInt32LE(rateHz, 24)
  header.writeUInt32LE(rateHz, 28) // bytes per second
  header.writeUInt16LE(1, 32) // bytes per frame
  header.writeUInt16LE(8, 34) // bits per sample
  header.write('data', 36)
  header.writeUInt32LE(samples.length, 40)
  return Buffer.concat([header, samples])
}

async function openSam(folder) {
  const Sam = createRequire(path.join(folder, 'package.json'))('sam-js')
  return ({ text, voice, speed, pitch }) => {
    const [ownSpeed, ownPitch, throat, mouth] = SAM_PRESETS[voice]
    const options = {
      speed: Math.round(ownSpeed / speed),
      pitch: Math.round(ownPitch / pitch),
      throat,
      mouth,
    }
    const samples = new Sam(options).buf8(text)
    if (!samples) throw new Error('SAM cannot pronounce it')
    return wav8(samples, SAM_RATE_HZ)
  }
}

const [engine, folder] = process.argv.slice(2)
const speak = await { gnuspeech: openGnuspeech, sam: openSam }[engine](folder)
for (const line of readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const request = JSON.parse(line)
  try {
    writeFileSync(request.wav, speak(request))
  } catch (error) {
    console.log(JSON.stringify({ wav: request.wav, error: String(error) }))
  }
}
