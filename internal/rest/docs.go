package rest

// docsPolicy lets the page run its own script and ask for the document, and nothing else.
const docsPolicy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"

// docsPage reads the document and lists what it says. It needs nothing from elsewhere, so that it works where there
// is no other network.
const docsPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Darter API</title>
<style>
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
summary{cursor:pointer;padding:.2rem 0}code,pre{font:13px/1.4 ui-monospace,monospace}
.m{display:inline-block;width:4.5rem;font-weight:600}.who{opacity:.7;float:right}
section>details{border-top:1px solid rgb(128 128 128/.3)}pre{overflow:auto;background:rgb(128 128 128/.1);padding:.6rem}
table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;vertical-align:top}
</style></head><body><h1>Darter API</h1><p id="about">Reading <a href="/openapi.json">/openapi.json</a> …</p><main></main>
<script>
const el=(t,x,...c)=>{const e=document.createElement(t);if(x)e.textContent=x;e.append(...c);return e}
const show=(doc,s,depth=0)=>{if(!s)return null;if(s.$ref){if(depth>4)return s.$ref.split('/').pop();return show(doc,doc.components.schemas[s.$ref.split('/').pop()],depth+1)}
 if(s.type==='array')return[show(doc,s.items,depth+1)];if(s.properties){const o={};for(const k of Object.keys(s.properties))o[k]=show(doc,s.properties[k],depth+1);return o}
 return s.enum?s.enum.join(' | '):(s.format||s.type||'any')}
fetch('/openapi.json').then(r=>r.json()).then(doc=>{document.getElementById('about').textContent=doc.info.description
 const tags={};for(const p of Object.keys(doc.paths))for(const m of Object.keys(doc.paths[p])){const o=doc.paths[p][m];(tags[o.tags[0]]??=[]).push([m,p,o])}
 for(const t of Object.keys(tags).sort()){const sec=el('section','',el('h2',t));for(const[m,p,o]of tags[t]){
  const d=el('details'),s=el('summary');const mm=el('span',m.toUpperCase());mm.className='m';const w=el('span',o['x-access']);w.className='who'
  s.append(mm,el('code',p),' ',o.summary||'',w);d.append(s);if(o.description)d.append(el('p',o.description))
  if(o.parameters){const tb=el('table');for(const q of o.parameters)tb.append(el('tr','',el('td','',el('code',q.name)),el('td',q.in),el('td',q.description||'')));d.append(tb)}
  const b=o.requestBody&&Object.values(o.requestBody.content)[0];if(b)d.append(el('p','Body'),el('pre',JSON.stringify(show(doc,b.schema),null,1)))
  for(const c of Object.keys(o.responses))if(c[0]==='2'){const x=o.responses[c].content&&Object.values(o.responses[c].content)[0];d.append(el('p',c));if(x&&x.schema)d.append(el('pre',JSON.stringify(show(doc,x.schema),null,1)))}
  sec.append(d)}document.querySelector('main').append(sec)}}).catch(e=>{document.getElementById('about').textContent='The document could not be read: '+e})
</script></body></html>
`
